"""Figures that stand beside the scores: what random folds would have claimed, and how values never seen are met.

Both use development parts only, and neither changes what is chosen; where the budget has no time they are left out,
with the reason. `selection_stage` asks after the contest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.dataset import Dataset
from fdsearch.data.folds import Fold, grouped_stratified_folds, single_split
from fdsearch.errors import DataError
from fdsearch.metrics import group_bootstrap, macro_f1, predict
from fdsearch.pipeline.budget import REFIT_OVER_FOLD, Budget
from fdsearch.pipeline.candidates import BASELINE, Contest
from fdsearch.pipeline.finished_jobs import REPEATS, FinishedJobs, continued
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.question import Question
from fdsearch.selection.intervals import interval
from fdsearch.selection.scores import mean_macro_f1, mean_over_repeats
from fdsearch.training.job import Job

WHY_RANDOM_FOLDS_MISLEAD = (
    "random folds put pictures of one part on both sides of a split, so a model is rewarded for recognising parts that "
    "it was trained on, and the parts of tomorrow are not among them"
)

_LEFT_OUT = 20_000
"""Repeat number of the first fit without a value, so that its seed is no fold's and not the final fit's."""

_ATTEMPTS = 3
_RESERVE_S = 30.0
_NO_TIME = "the budget has no time for it"

Ints = NDArray[np.int64]


def random_folds(question: Question, contest: Contest, run: Running, budget: Budget) -> dict[str, Any]:
    """Score the frozen probe on folds that do not keep parts together, beside its score on folds that do.

    Returns
    -------
    dict
        ``macro_f1`` (on random folds), ``grouped`` (the same configuration on the same pictures, from the repeats),
        ``n`` (pictures), ``words``; the figures are None, with ``why``, where they cannot be given.
    """
    dataset, rows = question.dataset, question.partition.development.rows
    empty = {"macro_f1": None, "grouped": None, "n": len(rows), "words": WHY_RANDOM_FOLDS_MISLEAD}
    if BASELINE not in contest.scores:
        return {**empty, "why": "there is no frozen probe to compare with"}
    probe = contest.validation[BASELINE]
    grouped = contest.scores[BASELINE].value
    if len(np.unique(dataset.groups[rows])) == len(rows):
        return {**empty, "grouped": grouped, "why": "each picture is its own part, so random folds are the study's"}
    if not _has_time(budget, sum(result.seconds for result in probe.results[0]), contest):
        return {**empty, "grouped": grouped, "why": _NO_TIME}
    folds = _folds_of_pictures(question)
    maker = replace(question.maker, groups=np.arange(len(dataset), dtype=np.int64))
    jobs = [
        maker.fold_job(
            f"random-f{number}",
            probe.config,
            folds,
            number,
            random_state=question.spec.search.random_state + 1,
            repeat=0,
            single_split=question.single_split,
        )
        for number in range(len(folds))
    ]
    results, why = _run(jobs, question, run)
    if why:
        return {**empty, "grouped": grouped, "why": why}
    predicted = np.concatenate([predict(logits) for logits in results])
    seen = np.concatenate([fold.validation for fold in folds])
    found = macro_f1(dataset.labels[seen], predicted, len(dataset.classes))
    run.log.say(f"random folds would claim a macro F1 of {found:.4f} for the probe; parts kept together: {grouped:.4f}")
    return {**empty, "macro_f1": found, "grouped": grouped, "n": len(seen), "why": ""}


def left_out(question: Question, contest: Contest, run: Running, budget: Budget) -> list[dict[str, Any]]:
    """Train the candidate without each value of a column, and test it on that value.

    A part with pictures of several values is trained on with none of them where one is left out.

    Returns
    -------
    list of dict
        One per value, empty where the study names no column: ``column, value, n`` (pictures)``, n_groups, macro_f1``
        (over the classes that occur)``, macro_f1_ci, level, same_rows_cv`` (of the candidate's cross-validation, on the
        same pictures) and ``why`` (why there is no score, or no interval; else empty).
    """
    column = question.spec.split.leave_out
    if column is None:
        return []
    cells = np.array(question.dataset.metadata[column])
    values = np.unique(cells[question.partition.development.rows])
    run.log.update(now=True, stage="left out", task=None)
    found = []
    for number, value in enumerate(values):
        entry = _left_out(question, contest, run, budget, cells == value, number)
        found.append({"column": column, "value": str(value), **entry})
        score = "no score" if entry["macro_f1"] is None else f"macro F1 {entry['macro_f1']:.4f}"
        told = f" ({entry['why']})" if entry["why"] else ""
        run.log.say(f"trained without {column} {value}, tested on it: {score}{told}")
    return found


def _left_out(
    question: Question, contest: Contest, run: Running, budget: Budget, has_value: NDArray[np.bool_], number: int
) -> dict[str, Any]:
    dataset, rows, candidate = question.dataset, question.partition.development.rows, contest.candidate
    test = rows[has_value[rows]]
    train = rows[~np.isin(dataset.groups[rows], dataset.groups[test])]
    entry: dict[str, Any] = {
        "n": len(test),
        "n_groups": len(np.unique(dataset.groups[test])),
        **{"macro_f1": None, "macro_f1_ci": None, "level": ""},
        "same_rows_cv": _finite(
            mean_macro_f1(dataset.labels[test], candidate.predictions[:, test], len(dataset.classes))
        ),
    }
    if why := _untrainable(dataset, train, test):
        return {**entry, "why": why}
    if not _has_time(budget, max(result.seconds for result in candidate.results[0]), contest):
        return {**entry, "why": _NO_TIME}
    try:
        job = question.maker.fold_job(
            f"without-{number}",
            candidate.config,
            [Fold(train, test)],
            0,
            random_state=question.spec.search.random_state,
            repeat=_LEFT_OUT + number,
            single_split=False,  # the test part must not choose the epochs
        )
    except DataError as error:
        return {**entry, "why": error.message}
    results, why = _run([job], question, run)
    if why:
        return {**entry, "why": why}
    return {**entry, **_score(dataset, test, predict(results[0]))}


def _untrainable(dataset: Dataset, train: Ints, test: Ints) -> str:
    """Why nothing can be learnt without these rows; empty where something can."""
    trained, tested = np.unique(dataset.labels[train]), np.unique(dataset.labels[test])
    absent = [dataset.classes[label] for label in tested if label not in trained]
    if absent:
        return f"only parts with this value show {', '.join(absent)}: nothing else could teach it"
    return "fewer than two classes are left to train on" if len(trained) < 2 else ""


def _score(dataset: Dataset, test: Ints, predicted: Ints) -> dict[str, Any]:
    """Macro F1 over the classes that occur among some rows, with what may be said of its uncertainty."""
    present = np.unique(dataset.labels[test])
    # Classes that do not occur have no F1 here and no parts that an interval would need: any of them is just "other".
    other = len(present)
    place = np.full(len(dataset.classes), other)
    place[present] = np.arange(other)
    y_true, y_pred, groups = place[dataset.labels[test]], place[predicted], dataset.groups[test]
    samples = group_bootstrap(y_true, y_pred, groups, other + 1)
    names = [dataset.classes[label] for label in present]
    bounds = interval(mean_over_repeats(samples), y_true, y_pred, groups, names)
    return {
        "macro_f1": macro_f1(y_true, y_pred, other + 1),
        "macro_f1_ci": bounds.ci,
        "level": bounds.level,
        "why": bounds.why,
    }


def _folds_of_pictures(question: Question) -> list[Fold]:
    """Folds of the development rows as if each picture were a part of its own."""
    rows, folds = question.partition.development.rows, question.partition.folds
    labels, alone = question.dataset.labels[rows], np.arange(len(rows))
    random_state = question.spec.split.random_state
    if question.single_split:
        local = [single_split(labels, alone, len(folds[0].validation) / len(rows), random_state)]
    else:
        local = grouped_stratified_folds(labels, alone, len(folds), random_state)
    return [Fold(rows[fold.train], rows[fold.validation]) for fold in local]


def _run(jobs: Sequence[Job], question: Question, run: Running) -> tuple[list[NDArray[np.float32]], str]:
    """Logits of the jobs' validation rows, in order, or why there are none."""
    run_all = continued(run, FinishedJobs(question.folder / REPEATS))
    results = run_all(jobs, on_result=lambda result: None, deadline=None, attempts=_ATTEMPTS)
    failed = [result for result in results.values() if result.status != "done"]
    if failed:
        return [], f"{failed[0].id} failed ({failed[0].failure}): {failed[0].last_words}"
    return [logits for job in jobs if (logits := results[job.id].logits) is not None], ""


def _has_time(budget: Budget, seconds: float, contest: Contest) -> bool:
    """Whether something that takes so long leaves a fit of the candidate on all parts its time."""
    fit = REFIT_OVER_FOLD * max(result.seconds for result in contest.candidate.results[0])
    return budget.left is None or budget.left >= seconds + fit + _RESERVE_S


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
