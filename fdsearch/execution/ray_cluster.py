"""The Ray cluster: how to reach it, what its nodes hold, and what one worker may declare of it.

Used by `ray_executor` on the driver's side and by `ray_worker` on the nodes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fdsearch.errors import Fault, ResourceError

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's 20 attempts of 40 s would look like a hang where the address of a cluster that is gone was left behind.
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    # Ray prints what its nodes complain about on stdout, which belongs to the command's answer: lines to leave out.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}
"""Environment of this process that Ray reads while it loads."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Share:
    """What one worker declares, and what Ray sets aside for it.

    Parameters
    ----------
    cpus : int
        At least 1; the limit of the worker's thread pools as well.
    gpus : int
        0 or 1: a fit uses one GPU.
    """

    cpus: int
    gpus: int


def connect() -> Any:
    """Connect this process to the cluster that runs, unless it is connected already.

    The cluster is the one ``RAY_ADDRESS`` names, else the one this machine belongs to.

    Returns
    -------
    module
        `ray`.

    Raises
    ------
    ResourceError
        If Ray is not installed, or no cluster answers.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        fault = Fault("ray", "not installed", "the extra of the cluster", "pip install 'fdsearch[cluster]'")
        raise ResourceError("a cluster needs Ray", [fault]) from error
    if not ray.is_initialized():
        try:
            with _own_signals():
                ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
            where = os.environ.get("RAY_ADDRESS", "this machine")
            start = "`ray start --head` on one machine, `ray start --address HOST:6379` on the others"
            fault = Fault(where, " ".join(str(error).split()), "a Ray cluster", f"start one: {start}")
            raise ResourceError("no Ray cluster answers", [fault]) from error
    return ray


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of this process: `ray.init` puts its own in their place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def living_nodes() -> list[Mapping[str, float]]:
    """The resources of each node that lives."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def declare(
    nodes: list[Mapping[str, float]], n_workers: int, cpus: int | None = None, gpus: int | None = None
) -> Share:
    """What each worker declares: what was asked for, else the nodes' processors divided, and one GPU where there are.

    Parameters
    ----------
    nodes : list of mapping
        Resources of each node.
    n_workers : int
    cpus, gpus : int, optional
        Of each worker.

    Raises
    ------
    ResourceError
        If no node can hold a worker.
    """
    share = _largest_share(nodes, n_workers, gpus)
    if cpus is not None:
        share = replace(share, cpus=cpus)
    if not any(held_by(node, share) for node in nodes):
        largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
        got = f"{len(nodes)} nodes, the largest with {largest.get('CPU', 0):g} CPUs and {largest.get('GPU', 0):g} GPUs"
        wanted = f"a node with {share.cpus} CPUs and {share.gpus} GPUs for one worker"
        raise ResourceError("the Ray cluster has no room", [Fault("ray", got, wanted, "add a node; see `ray status`")])
    return share


def held_by(resources: Mapping[str, float], share: Share) -> int:
    """Workers that fit on one node.

    Examples
    --------
    >>> held_by({"CPU": 16.0, "GPU": 2.0}, Share(cpus=4, gpus=1))
    2
    >>> held_by({"CPU": 7.0}, Share(cpus=4, gpus=0))
    1
    """
    by_cpus = int(resources.get("CPU", 0)) // share.cpus
    return min(by_cpus, int(resources.get("GPU", 0)) // share.gpus) if share.gpus else by_cpus


def _largest_share(nodes: list[Mapping[str, float]], n_workers: int, gpus: int | None) -> Share:
    """The most that each of `n_workers` can declare so that the nodes hold them all; else the least there is.

    Parameters
    ----------
    nodes : list of mapping
        Resources of each node.
    n_workers : int
    gpus : int or None
        None is one GPU each where any node has one.

    Examples
    --------
    >>> nodes = [{"CPU": 8.0}, {"CPU": 8.0}]
    >>> [_largest_share(nodes, n_workers, gpus=None).cpus for n_workers in (1, 2, 3, 4, 99)]
    [8, 8, 4, 4, 1]
    """
    own = int(any(node.get("GPU", 0) >= 1 for node in nodes)) if gpus is None else gpus
    # With fewer GPUs than workers the others wait, and those that run share the processors.
    most = sum(int(node.get("GPU", 0)) for node in nodes) if own else n_workers
    wanted = min(n_workers, max(1, most))
    for cpus in range(max([1, *(int(node.get("CPU", 0)) for node in nodes)]), 1, -1):
        if sum(held_by(node, Share(cpus, own)) for node in nodes) >= wanted:
            return Share(cpus, own)
    return Share(1, own)
