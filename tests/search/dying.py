"""A search that kills its own process at a named point: ``python dying.py FOLDER POINT NTH FAULT``.

The point is the nth call of a function of the core, before or after which the process dies; `FAULT` is what befalls
its workers. Everything else is as in other tests; the fault ``opening`` is none, but a search with an opening.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
from search_bench import POINTS, PROBES, Bench

from fdsearch.search import deepening, retries, telling, trial_files
from fdsearch.search.ledger import Ledger
from fdsearch.search.loop import SearchLoop
from fdsearch.search.spool import Spool

BEFORE, AFTER = "before", "after"
DEATHS: dict[str, tuple[Any, str, str]] = {
    "asked": (Ledger, "ask", AFTER),
    "drew the first parameter": (optuna.Trial, "suggest_float", AFTER),
    "result is in the spool": (Spool, "keep", AFTER),
    "attributes are set": (telling, "_end", BEFORE),
    "told": (Spool, "forget", BEFORE),
    "retry is queued": (retries, "requeue", AFTER),
    "failed": (retries, "mark_failed", AFTER),
    "epoch is logged": (SearchLoop, "_prunes", BEFORE),
    "folds are taken over": (trial_files, "write_oof", AFTER),
    "curve is taken over": (trial_files, "move_latest", BEFORE),
    "checkpoint is taken over": (trial_files, "move_latest", AFTER),
    "a point is queued": (optuna.Study, "enqueue_trial", AFTER),
    "deeper points are queued": (deepening, "enqueue", AFTER),
}


def die_at(place: Any, name: str, when: str, nth: int) -> None:
    """Let the process die before or after the nth call of a function."""
    original: Callable[..., Any] = getattr(place, name)
    calls = 0

    def deadly(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and when == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = original(*arguments, **options)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(place, name, deadly)


def main() -> None:
    folder, point, nth, fault = sys.argv[1:]
    die_at(*DEATHS[point], int(nth))
    with ExitStack() as stack:
        bench = Bench(Path(folder), stack)
        if fault == "opening":
            bench.search(bench.opening_task(), PROBES, n_deeper=2)
        else:
            bench.search(bench.small_task(fault), POINTS)


if __name__ == "__main__":
    main()
