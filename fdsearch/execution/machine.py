"""What of this machine, or of a cluster, the jobs of a study may use, and the executor that uses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fdsearch.errors import ConfigError, Fault
from fdsearch.execution.events import TRAINER, Executor, Say
from fdsearch.execution.ray_executor import RayExecutor
from fdsearch.execution.supervisor import Supervisor


@dataclass(frozen=True)
class Machine:
    """Where jobs run.

    Parameters
    ----------
    n_workers : int
        Jobs that run at the same time.
    gpus : tuple of str or None
        GPUs to use, by index or UUID; None takes all that ``CUDA_VISIBLE_DEVICES`` leaves. Where that is set, an index
        is a place in it, from 0, as in every CUDA program; else it is the index `nvidia-smi` shows.
    executor : {"local", "ray"}
        Worker processes of this machine, or actors of a Ray cluster.
    """

    n_workers: int = 1
    gpus: tuple[str, ...] | None = None
    executor: str = "local"


def open_executor(machine: Machine, log: Path, *, target: str = TRAINER, say: Say | None = None) -> Executor:
    """Make the executor of a machine; workers write their output to `log`.

    Those that train on processors are started at once, and load what jobs need while the caller reads its data.

    Parameters
    ----------
    machine : Machine
    log : Path
    target : str
        ``module:function`` that runs a job.
    say : callable, optional
        Told what workers of this machine wait for; by default, and on a cluster, that goes to `log`.

    Raises
    ------
    ConfigError
        If a GPU that was named does not exist or is not visible, GPUs of a cluster are named, or workers would share a
        slice of a GPU (MIG).
    ResourceError
        If there is no Ray, no Ray cluster, or no room on it for a worker.
    """
    if machine.executor == "ray":
        if machine.gpus:
            fault = Fault("gpus", ", ".join(machine.gpus), "no names: Ray chooses them", "leave --gpus out")
            raise ConfigError("the GPUs of a cluster cannot be named", [fault])
        # An empty choice trains on processors, as it does on one machine.
        gpus = None if machine.gpus is None else 0
        return RayExecutor(machine.n_workers, gpus_per_worker=gpus, log=log, target=target)
    supervisor = Supervisor(machine.n_workers, gpus=machine.gpus, log=log, target=target, say=say)
    supervisor.prepare()
    return supervisor
