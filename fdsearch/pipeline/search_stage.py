"""`search`: find good configurations. The first half of `run`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdsearch.config import StudySpec
from fdsearch.files import disk_errors, write_atomic
from fdsearch.pipeline.database import has_study, open_database
from fdsearch.pipeline.first_points import CARRIED_OVER, first_points
from fdsearch.pipeline.folder import Running, running
from fdsearch.pipeline.known_recipes import known_recipes
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.notification import notifying
from fdsearch.pipeline.question import Question, open_question
from fdsearch.pipeline.run_files import write_run_files
from fdsearch.pipeline.run_status import RunLog
from fdsearch.progress import Progress, Silent
from fdsearch.records import TrialRecord
from fdsearch.search.attempt import Attempt
from fdsearch.search.history import best, pareto, read_records, table
from fdsearch.search.loop import SearchLoop
from fdsearch.search.pruning import pruner_warning
from fdsearch.search.sampling import check_sampler
from fdsearch.search.server import alone, has_server
from fdsearch.search.sqlite_file import network_warning
from fdsearch.search.storage import storage_errors
from fdsearch.search.study import (
    check_resumable,
    enqueue_first,
    has_begun,
    open_study,
    previous_best,
    study_name,
)
from fdsearch.search.task import SearchTask
from fdsearch.training.job import CurveRow

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage


@dataclass(frozen=True)
class SearchOutcome:
    """A study after its search.

    Parameters
    ----------
    records : tuple of TrialRecord
        The trials that have ended, with their predictions.
    trials : tuple of dict
        One plain row per trial, for tables; see `history.table`.
    """

    records: tuple[TrialRecord, ...]
    trials: tuple[dict[str, Any], ...]

    @property
    def best(self) -> TrialRecord | None:
        return next(iter(best(list(self.records), 1)), None)

    def to_json(self) -> dict[str, Any]:
        counts = Counter(row["state"] for row in self.trials)
        return {
            "n_trials": counts["COMPLETE"] + counts["PRUNED"],
            "n_complete": counts["COMPLETE"],
            "n_pruned": counts["PRUNED"],
            "n_failed": counts["FAIL"],
            "best_value": self.best.value if self.best else None,
            "pareto": pareto(self.trials),
        }


def search(
    spec: StudySpec,
    root: Path,
    *,
    fresh: bool = False,
    plugins: Sequence[Path] = (),
    means: Means | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Search a study's space until `n_trials` are finished or its budget is spent; continues an earlier search.

    Parameters
    ----------
    spec : StudySpec
    root : Path
        The root folder.
    fresh : bool
        Move an earlier run of this name aside.
    plugins : sequence of Path
        Python files with own builders and losses; their code is run.
    means : Means, optional
        Workers and database; default one worker and a SQLite file.

    Returns
    -------
    dict
        ``study, n_trials, n_complete, n_pruned, n_failed, best_value, best_params, pareto, space_why, splits,
        seconds``.

    Raises
    ------
    FdsearchError
        See the exit codes of each kind.
    """
    started, means = time.monotonic(), means or Means()
    spec = spec.renewed() if fresh else spec
    with (
        notifying(spec) as notification,
        running(spec, root, fresh=fresh, means=means, progress=progress or Silent()) as run,
    ):
        notification.begin(run.log.note)
        question = open_question(spec, root, plugins, run.log, machine=means.machine)
        budget = question.spec.budget
        deadline = None if budget is None else started + budget
        outcome = search_question(question, run, deadline)
        return notification.of(
            {
                "study": spec.name,
                **outcome.to_json(),
                "best_params": outcome.best.params if outcome.best else None,
                "space_why": question.space_why,
                "splits": str(question.folder / "splits.csv"),
                "seconds": round(time.monotonic() - started, 1),
            }
        )


def check_search(question: Question, run: Running) -> None:
    """Refuse what `search_question` would refuse, a changed definition above all; errors as there."""
    check_sampler(question.spec.search, question.space)
    if has_study(question.folder):
        storage = open_database(question.folder, run.means, run.interruption.requested)
        with storage_errors(storage.url):
            check_resumable(storage, question.spec.name, question.definition)


def search_question(question: Question, run: Running, deadline: float | None) -> SearchOutcome:
    """Search an opened question; `deadline` is a `time.monotonic` value."""
    spec, log = question.spec, run.log
    check_sampler(spec.search, question.space)
    if warning := pruner_warning(spec.search):
        log.say(warning)
    storage = open_database(question.folder, run.means, run.interruption.requested)
    with storage_errors(storage.url):
        study = prepare_study(question, storage, log)
        write_run_files(question)
        return _search_study(question, study, run, deadline, shared=has_server(storage))


def _search_study(
    question: Question, study: Study, run: Running, deadline: float | None, *, shared: bool
) -> SearchOutcome:
    spec, log = question.spec, run.log
    task = SearchTask(
        search=spec.search,
        space=question.space,
        folds=question.partition.folds,
        single_split=question.single_split,
        labels=question.dataset.labels,
        maker=question.maker,
        trials=question.folder / "trials",
        spool=question.folder / "spool",
        latencies=question.workspace.latencies,
    )
    loop = SearchLoop(
        study,
        task,
        run.executor,
        log,
        shared=shared,
        deadline=deadline,
        should_stop=run.interruption.requested,
        on_change=lambda loop: log.update(**_status(loop, deadline)) if log.due else None,
    )
    loop.run()
    log.update(now=True, **_status(loop, deadline))
    run.interruption.check()
    return outcome_of(question, study)


def outcome_of(question: Question, study: Study) -> SearchOutcome:
    """Sum up a study; nothing after it needs the database."""
    dataset, rows = question.dataset, table(study)
    records = read_records(study, question.folder / "trials", len(dataset), len(dataset.classes))
    return SearchOutcome(tuple(records), tuple(rows))


def prepare_study(question: Question, storage: RDBStorage, log: RunLog) -> Study:
    """Open the Optuna study of today's data and queue its first points; other parents wait meanwhile."""
    with alone(storage, question.spec.name):
        return _prepare(question, storage, log)


def _prepare(question: Question, storage: RDBStorage, log: RunLog) -> Study:
    spec, identity = question.spec, question.identity
    if not has_server(storage) and (warning := network_warning(question.folder / "study.db")):
        log.say(warning)
    for line in new_data_notes(storage, question):
        log.say(line)
    study = open_study(storage, spec.name, identity, question.definition)
    _keep_trials_apart(question.folder, study.study_name)
    if has_begun(study):
        return study
    earlier = previous_best(storage, spec.name, study_name(spec.name, identity), CARRIED_OVER)
    first = first_points(spec.search, question.space, earlier, known_recipes(question, log))
    for line in enqueue_first(study, question.space, first.points, n_deeper=first.opening.n_deeper):
        log.say(line)
    return study


def new_data_notes(storage: RDBStorage, question: Question) -> list[str]:
    """A line where the data is not that of an earlier search; `ConfigError` where the definition is not."""
    name = question.spec.name
    earlier = check_resumable(storage, name, question.definition)
    if not earlier or study_name(name, question.identity) in earlier:
        return []
    return ["the data has changed since the last run: a new search begins, with the best trials of the earlier one"]


def _keep_trials_apart(folder: Path, name: str) -> None:
    """Trial numbers start anew with each state of the data, so the earlier trials' files move aside."""
    trials = folder / "trials"
    owner = trials / "study.txt"
    if trials.is_dir() and owner.is_file() and (before := owner.read_text()) != name:
        trials.rename(_aside(folder, before))
    if not trials.is_dir() and (kept := _aside(folder, name)).is_dir():
        kept.rename(trials)
    if not owner.is_file():
        # Whole or absent: with half a name the trials would be taken for those of other data.
        with disk_errors(trials, "the trials' folder"):
            write_atomic(owner, name.encode())


def _aside(folder: Path, name: str) -> Path:
    return folder / f"trials@{name.partition('@')[2]}"


def _status(loop: SearchLoop, deadline: float | None) -> dict[str, Any]:
    counts = loop.ledger.counts
    ends = [_seconds_left(loop), None if deadline is None else max(0.0, deadline - time.monotonic())]
    left = min((end for end in ends if end is not None), default=None)
    return {
        "stage": "search",
        "n_trials": loop.task.search.n_trials,
        "n_complete": counts["COMPLETE"],
        "n_pruned": counts["PRUNED"],
        "n_failed": counts["FAIL"],
        "failures": dict(loop.ledger.failures),
        "running": _running(loop),
        "time_left_s": None if left is None else round(left, 1),
    }


def _seconds_left(loop: SearchLoop) -> float | None:
    """What the remaining trials will take at the rate so far; None before the first one has ended."""
    began, before = loop.began
    done = loop.ledger.n_finished - before
    missing = max(0, loop.task.search.n_trials - loop.ledger.n_finished)
    return missing * (time.monotonic() - began) / done if done else None


def _running(loop: SearchLoop) -> list[dict[str, Any]]:
    """What each worker trains, and the trials that wait for one between two folds."""
    found = [_fold(loop, attempt, attempt.fold, attempt.row, job_id) for job_id, attempt in loop.running.items()]
    for job_id, early in loop.executor.early.items():
        found.append(_fold(loop, early.attempt, early.fold, next(reversed(early.rows), None), job_id))
    waiting = {"phase": "waits for a worker", "worker": None}
    return found + [{**_fold(loop, attempt, attempt.fold, None, ""), **waiting} for attempt in loop.pending]


def _fold(loop: SearchLoop, attempt: Attempt, fold: int, row: CurveRow | None, job_id: str) -> dict[str, Any]:
    seconds = float(row["seconds"]) if row and "seconds" in row else 0.0
    n_pictures = len(attempt.folds[fold].train)
    return {
        "trial": attempt.number,
        "fold": fold,
        "n_folds": len(attempt.folds),
        "epoch": int(row["epoch"]) + 1 if row else 0,
        "n_epochs": attempt.config.epochs,
        "phase": row.get("phase") if row else None,
        "pictures_per_s": round(n_pictures / seconds, 1) if seconds else None,
        "worker": loop.executor.place(job_id),
        "seconds": round(time.monotonic() - attempt.started, 1),
    }
