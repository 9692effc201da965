"""The actor that Ray starts on a node: one local worker process, and the words that pass between it and the parent.

`ray_executor` is the other side. The actor is a `Supervisor` of one worker, so that a job runs on a cluster in the very
process it would run in at home: the same environment, recycling and classification of what went wrong.
"""

from __future__ import annotations

import os
from pathlib import Path

from fdsearch.execution import slots
from fdsearch.execution.events import Event, Finished
from fdsearch.execution.failures import failed
from fdsearch.execution.ray_cluster import Share, held_by
from fdsearch.execution.supervisor import Supervisor
from fdsearch.training.job import Job

_WAIT_S = 60.0


class RayWorker:
    """Runs one job at a time; each call returns the news that come next, so that nobody polls across the network.

    Parameters
    ----------
    target : str
        ``module:function`` that runs a job.
    share : Share
        What of its node the actor was given.
    log : Path or None
        File to which the worker's output is appended; None is the actor's own output, which Ray keeps.
    """

    def __init__(self, target: str, share: Share, log: Path | None) -> None:
        import ray

        if not share.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves all GPUs visible to an actor that was given none
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as Ray counts
        here = ray.get_runtime_context().get_node_id()
        neighbours = max([1, *(held_by(node["Resources"], share) for node in ray.nodes() if node["NodeID"] == here)])
        memory_mb = slots.memory_limit_mb(neighbours)
        self._supervisor = Supervisor(1, share.cpus, memory_limit_mb=memory_mb, log=log, target=target)

    def place(self) -> str:
        """The node's address, and the GPU if there is one."""
        import ray

        gpus = "".join(f" gpu {name}" for name in ray.get_gpu_ids())
        return f"{ray.util.get_node_ip_address()}{gpus}"

    def start(self, job: Job) -> list[Event]:
        """Begin a job; return its first news."""
        if not job.pixels.is_file():
            message = (
                f"{job.pixels} does not exist on {self.place()}: the run folder, the pictures and the caches must be on"
                " a disk that every node of the cluster sees under the same path"
            )
            return [Finished(failed(job.id, "exception", message))]
        while not self._supervisor.free:  # others hold the memory of the GPU
            self._supervisor.events(_WAIT_S)
        self._supervisor.submit(job)
        return self._news()

    def go_on(self, job_id: str, proceed: bool) -> list[Event]:
        """Answer the job's report; return its next news."""
        self._supervisor.answer(job_id, proceed)
        return self._news()

    def _news(self) -> list[Event]:
        while True:
            news = self._supervisor.events(_WAIT_S)
            if news:
                return news
