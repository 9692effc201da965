"""Which trials are cross-validated again, and what their cross-validation says about them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdsearch.data.partition import repeat_folds
from fdsearch.errors import ResourceError
from fdsearch.execution.events import OnResult
from fdsearch.metrics import confusion, per_class_report, predict
from fdsearch.pipeline.budget import Budget, affordable
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.question import Question, baseline_config
from fdsearch.records import TrialRecord
from fdsearch.search.history import best
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.comparison import paired_gain
from fdsearch.selection.cross_validation import CrossValidation, RunAll, cross_validate
from fdsearch.selection.optimism import optimism
from fdsearch.selection.scores import Score, score
from fdsearch.training.job import Job, Result
from fdsearch.trial import TrialConfig

BASELINE = "baseline"


@dataclass(frozen=True)
class Contest:
    """The candidates after their repeats.

    Parameters
    ----------
    validation : CrossValidation
    scores : mapping of str to Score
        Over the development rows, averaged over repeats.
    winner : str
        The candidate, by the study's rule.
    trials : mapping of str to int
        Trial number of each, where it has one.
    params : mapping of str to mapping
        Flat parameters of each trial among them.
    """

    validation: CrossValidation
    scores: Mapping[str, Score]
    winner: str
    trials: Mapping[str, int]
    params: Mapping[str, Mapping[str, Any]]

    @property
    def candidate(self) -> Candidate:
        return self.validation[self.winner]


def hold_contest(question: Question, records: Sequence[TrialRecord], run: Running, budget: Budget) -> Contest:
    """Cross-validate the best trials and the baseline on new folds with new seeds, and choose.

    Raises
    ------
    ResourceError
        If the search finished no trial, or no candidate gets through.
    """
    spec = question.spec
    top = best(list(records), spec.selection.top_k)
    if not top:
        raise ResourceError(
            "the search finished no trial, so there is nothing to select from; raise budget or n_trials"
        )
    top = _within_budget(top, question, run, budget)
    params = {f"trial-{record.number}": question.space.complete(record.params) for record in top}
    entries = {name: TrialConfig.from_params(point) for name, point in params.items()}
    trials = {f"trial-{record.number}": record.number for record in top}
    baseline = baseline_config(question.space)
    if baseline is not None:
        same = next((name for name, config in entries.items() if config == baseline), None)
        if same is not None:  # the baseline is among the best: one entry, under its own name
            entries, trials, params = (_renamed(table, same, BASELINE) for table in (entries, trials, params))
        entries.setdefault(BASELINE, baseline)
    repeats = [repeat_folds(question.partition, index + 1) for index in range(spec.selection.n_repeats)]
    fold_seconds = max(record.seconds for record in top) / len(question.partition.folds)
    run.log.update(now=True, stage="repeats", running=[])
    validation = cross_validate(
        list(entries.items()),
        repeats,
        question.maker,
        _interruptible(run),
        single_split=question.single_split,
        random_state=spec.search.random_state + 1,
        deadline=budget.repeats_deadline(fold_seconds),
        progress=run.log,
    )
    for note in validation.notes:
        run.log.say(note)
    scores = {candidate.name: _score(question, candidate) for candidate in validation.candidates}
    eligible = [name for name in scores if name in trials or len(scores) == 1]
    winner = max(eligible or list(scores), key=lambda name: scores[name].value)
    return Contest(validation, scores, winner, trials, params)


def baseline_document(question: Question, contest: Contest) -> dict[str, Any]:
    """The frozen probe on the same folds and the candidate's paired gain over it."""
    if BASELINE not in contest.scores:
        why = contest.validation.failures.get(BASELINE, "no pretrained weights on this machine")
        return {"macro_f1_mean": None, "macro_f1_ci": None, "gain": None, "gain_ci": None, "why": why}
    rows, dataset = question.partition.development.rows, question.dataset
    gain = paired_gain(
        dataset.labels[rows],
        contest.candidate.predictions[:, rows],
        contest.validation[BASELINE].predictions[:, rows],
        dataset.groups[rows],
        dataset.classes,
    )
    return {
        **contest.scores[BASELINE].to_json("macro_f1_mean"),
        "gain": gain["gain"],
        "gain_ci": gain["ci"],
        "gain_level": gain["level"],
        "gain_claimed": gain["claimed"],
        "gain_why": gain["why"],
    }


def search_optimism(question: Question, records: Sequence[TrialRecord]) -> dict[str, Any]:
    """By how much the search's best value flatters, from the stored predictions of all complete trials."""
    rows, dataset = question.partition.development.rows, question.dataset
    complete = [record for record in records if record.value is not None and record.logits is not None]
    if not complete:
        return {"raw": None, "optimism": None, "corrected": None, "why": "no stored predictions of complete trials"}
    predictions = np.stack([predict(record.logits[rows]) for record in complete if record.logits is not None])
    return optimism(dataset.labels[rows], predictions, dataset.groups[rows], len(dataset.classes))


def out_of_fold_tables(question: Question, candidate: Candidate) -> dict[str, Any]:
    """Confusion matrix, per-class report and learning curves of the first repeat, for the report."""
    dataset = question.dataset
    predicted = candidate.predictions[0]
    known = np.flatnonzero(~np.isnan(candidate.logits[0]).any(axis=1))
    y_true, y_pred = dataset.labels[known], predicted[known]
    return {
        "classes": list(dataset.classes),
        "confusion": confusion(y_true, y_pred, len(dataset.classes)).tolist(),
        "per_class": per_class_report(y_true, y_pred, dataset.classes, dataset.groups[known]),
        "curves": {f"fold {index}": list(result.curve) for index, result in enumerate(candidate.results[0])},
    }


def _interruptible(run: Running) -> RunAll:
    """The supervisor's `run_all`, which stops and raises `Interrupted` once a signal has come."""

    def run_all(jobs: Sequence[Job], *, on_result: OnResult, deadline: float | None) -> Mapping[str, Result]:
        stop = run.interruption.requested
        results = run.supervisor.run_all(jobs, on_result=on_result, deadline=deadline, should_stop=stop)
        run.interruption.check()
        return results

    return run_all


def _score(question: Question, candidate: Candidate) -> Score:
    rows, dataset = question.partition.development.rows, question.dataset
    return score(dataset.labels[rows], candidate.predictions[:, rows], dataset.groups[rows], dataset.classes)


def _within_budget(top: list[TrialRecord], question: Question, run: Running, budget: Budget) -> list[TrialRecord]:
    """The best trials that can be cross-validated at least once in the time left."""
    fold_seconds = max(record.seconds for record in top) / len(question.partition.folds)
    deadline = budget.repeats_deadline(fold_seconds)
    left = None if deadline is None else deadline - time.monotonic()
    count = affordable([record.seconds for record in top], left)
    if count < len(top):
        run.log.say(f"only the best {count} of {len(top)} trials are compared: the budget carries no more")
    return top[:count]


def _renamed(table: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: value for name, value in table.items()}
