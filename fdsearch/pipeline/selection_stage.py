"""`select`: from a finished search to a registered candidate. The second half of `run`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fdsearch.config import StudySpec
from fdsearch.errors import ResourceError
from fdsearch.pipeline.auditing import audit_summary, known_audit
from fdsearch.pipeline.beside import left_out, random_folds
from fdsearch.pipeline.budget import Budget
from fdsearch.pipeline.bundle import decision_document
from fdsearch.pipeline.candidates import (
    Contest,
    baseline_document,
    contest_luck,
    finished_repeats,
    hold_contest,
    out_of_fold_tables,
)
from fdsearch.pipeline.database import open_database
from fdsearch.pipeline.drift_row import drift_rows
from fdsearch.pipeline.folder import Running, running
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.notification import notifying
from fdsearch.pipeline.question import Question, open_question
from fdsearch.pipeline.registration import appoint, champion, drafts, judge, prepare, register
from fdsearch.pipeline.reporting import write_tables
from fdsearch.pipeline.reproduction import reproduce_claims
from fdsearch.pipeline.run_files import write_run_files
from fdsearch.pipeline.search_stage import SearchOutcome, outcome_of, prepare_study
from fdsearch.pipeline.stored import store_result
from fdsearch.pipeline.subject import groups_document
from fdsearch.progress import Progress, Silent
from fdsearch.registry.store import Registry
from fdsearch.search.storage import storage_errors


def select(
    spec: StudySpec,
    root: Path,
    *,
    promote: bool = False,
    plugins: Sequence[Path] = (),
    means: Means | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare the best trials of a search, refit and register; arguments, result and errors as in `run`."""
    started, means = time.monotonic(), means or Means()
    with (
        notifying(spec) as notification,
        running(spec, root, fresh=False, means=means, progress=progress or Silent()) as run,
    ):
        notification.begin(run.log.note)
        question = open_question(spec, root, plugins, run.log, machine=means.machine)
        storage = open_database(question.folder, run.means, run.interruption.requested)
        with storage_errors(storage.url):
            outcome = outcome_of(question, prepare_study(question, storage, run.log))
            write_run_files(question)
        budget, audit = Budget(started, question.spec.budget), known_audit(question) if spec.audit else None
        return notification.of(select_question(question, outcome, run, budget, promote=promote, audit=audit))


def select_question(
    question: Question,
    outcome: SearchOutcome,
    run: Running,
    budget: Budget,
    *,
    promote: bool,
    audit: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Repeats, comparison, final fits, holdout, gates, registration and report of an opened question.

    Whatever ends this early, the same command goes on after the last finished fit, and the holdout is not opened again
    for a candidate that it was opened for.
    """
    contest = hold_contest(question, outcome.records, run, budget)
    luck = contest_luck(question, contest, outcome.records)
    document: dict[str, Any] = {
        "study": question.spec.name,
        **outcome.to_json(),
        **contest_document(question, contest, luck, audit),
        "space_why": question.space_why,
        "random_folds": random_folds(question, contest, run, budget),
    }
    document |= register_candidate(question, contest, document, run, promote=promote)
    document["left_out"] = left_out(question, contest, run, budget)
    document["write_up"] = [
        *reproduce_claims(question, contest, run, budget),
        *drift_rows(question, document["candidate"]["version"], run.log),
    ]
    document = conclude(question, contest, document, budget, outcome.trials)
    _register_others(question, contest, run, budget)
    tidy(question)
    return document


def contest_document(
    question: Question, contest: Contest, luck: Mapping[str, Any], audit: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a contest says of its candidate, as a run's document holds it; `luck` as `contest_luck` returns it."""
    return {
        "cv": {
            **contest.scores[contest.winner].to_json("macro_f1_mean"),
            "n_splits": len(question.partition.folds),
            "n_repeats": contest.validation.n_repeats,
        },
        "baseline": baseline_document(question, contest),
        "optimism": luck["optimism"],
        "search": luck,
        "choice": contest.chosen.to_json(),
        "comparisons": list(contest.comparisons),
        "groups": groups_document(question),
        "audit": None if audit is None else audit_summary(audit),
    }


def conclude(
    question: Question,
    contest: Contest,
    document: Mapping[str, Any],
    budget: Budget,
    trials: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Complete a document, write its report, and keep it: from here on the same command prints it."""
    known = [*question.dataset.notes, *question.partition.changes, *contest.validation.notes]
    whole = {
        **document,
        "splits": str(question.folder / "splits.csv"),
        "report": str(question.folder / "report.html"),
        "notes": [*known, *notes],
        "seconds": round(time.monotonic() - budget.started, 1),
    }
    tables = out_of_fold_tables(question, contest.candidate)
    write_tables(question.folder, {**whole, **tables, "trials": list(trials)})
    store_result(question, whole)
    return whole


def tidy(question: Question) -> None:
    """Remove what only a continued command would need."""
    shutil.rmtree(drafts(question), ignore_errors=True)
    finished_repeats(question).clear()


def register_candidate(
    question: Question, contest: Contest, document: Mapping[str, Any], run: Running, *, promote: bool
) -> dict[str, Any]:
    """Refit, open the holdout, evaluate the gates and register; the candidate's part of the run's document."""
    run.log.update(now=True, stage="refit and holdout", task=None)
    name, model = contest.winner, question.spec.model_name
    prepared = prepare(question, contest, name, document, run, sealed=True)
    verdict = judge(question, prepared.figures, prepared.folder)
    version = register(question, prepared)
    alias = appoint(question, version, verdict, promote=promote)
    current = champion(question)
    if alias == "challenger":
        run.log.say(
            f"the champion stays {model}:{current}; to change it: "
            f"fdsearch registry promote {model}:{version} --by NAME --reason TEXT"
        )
    return {
        "candidate": {
            "name": model,
            "version": version,
            "params": dict(contest.params.get(name, {})),
            "trial": contest.trials.get(name),
            "alias": alias,
            "gates": list(Registry(question.workspace.registry).version(model, version).gates),
        },
        "champion": None if current is None else {"name": model, "version": current},
        "promoted": alias == "champion",
        "holdout": prepared.figures["holdout"],
        "headline": prepared.figures["headline"],
        "agreement": prepared.figures.get("agreement"),
        "comparison": prepared.figures.get("comparison"),
        **decision_document(prepared.contract),
    }


def _register_others(question: Question, contest: Contest, run: Running, budget: Budget) -> None:
    """Register the other compared trials too, with their cross-validation record, as far as time allows."""
    for candidate in contest.validation.candidates:
        name = candidate.name
        if name == contest.winner or name not in contest.params:
            continue
        if budget.left is not None and budget.left < 2 * max(result.seconds for result in candidate.results[0]) + 30:
            run.log.say(f"{name} is not registered: the budget carries no further fit")
            continue
        figures = {"cv": contest.scores[name].to_json("macro_f1_mean")}
        try:
            register(question, prepare(question, contest, name, figures, run, sealed=False))
        except ResourceError as error:  # the candidate is registered and stored: the run has done its work
            run.log.say(f"{name} is not registered: {error}")
