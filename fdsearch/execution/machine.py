"""What of this machine, or of a cluster, the jobs of a study may use, and the executor that uses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fdsearch.execution.events import TRAINER, Executor
from fdsearch.execution.supervisor import Supervisor


@dataclass(frozen=True)
class Machine:
    """Where jobs run.

    Parameters
    ----------
    n_workers : int
        Jobs that run at the same time.
    gpus : tuple of str or None
        GPUs to use, by index or UUID; None takes all that ``CUDA_VISIBLE_DEVICES`` leaves.
    executor : {"local", "ray"}
        Worker processes of this machine, or actors of a Ray cluster.
    """

    n_workers: int = 1
    gpus: tuple[str, ...] | None = None
    executor: str = "local"


def open_executor(machine: Machine, log: Path, *, target: str = TRAINER) -> Executor:
    """Make the executor of a machine; workers write their output to `log`."""
    return Supervisor(machine.n_workers, log=log, target=target)
