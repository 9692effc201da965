"""Runs jobs in this process, one after the other, so that a debugger can step through them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from types import TracebackType

from fdsearch.execution.events import TRAINER, OnReport, OnResult, Reported, distinct, is_over
from fdsearch.execution.failures import checked
from fdsearch.training.job import CurveRow, Job, Result


class InProcess:
    """The executor of ``train --in-process``.

    What a job raises is not caught but reaches the caller, and a debugger, where it was raised.

    Parameters
    ----------
    target : str
        ``module:function`` that runs a job.
    """

    def __init__(self, *, target: str = TRAINER) -> None:
        module, _, name = target.partition(":")
        self._module, self._name = module, name

    def __enter__(self) -> InProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def run_all(
        self,
        jobs: Iterable[Job],
        on_report: OnReport | None = None,
        on_result: OnResult | None = None,
        deadline: float | None = None,
        should_stop: Callable[[], bool] | None = None,
        attempts: int = 1,
    ) -> dict[str, Result]:
        """Run jobs to their end; see `Executor.run_all`.

        A deadline is noticed at the next report. No job is lost with a process here, so that one attempt is enough.
        """
        run = getattr(importlib.import_module(self._module), self._name)
        results: dict[str, Result] = {}
        for job in distinct(jobs):
            if is_over(deadline, should_stop):
                break

            def report(epoch: int, row: CurveRow, job_id: str = job.id) -> bool:
                wanted = on_report is None or on_report(Reported(job_id, epoch, row))
                return wanted and not is_over(deadline, should_stop)

            results[job.id] = checked(job, run(job, report))
            if on_result is not None:
                on_result(results[job.id])
        return results
