"""Which trials are cross-validated again, and what their cross-validation says about them; `choosing` chooses."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdsearch.data.folds import Fold
from fdsearch.data.partition import repeat_folds
from fdsearch.errors import Fault, ResourceError
from fdsearch.metrics import confusion, per_class_report
from fdsearch.pipeline.budget import Budget, affordable
from fdsearch.pipeline.choosing import Chosen, choose_candidate, comparison_rows
from fdsearch.pipeline.finished_jobs import REPEATS, FinishedJobs, continued
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.luck import luck_of
from fdsearch.pipeline.question import Question, baseline_config, baseline_point
from fdsearch.records import TrialRecord
from fdsearch.search.history import best
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.comparison import paired_gain
from fdsearch.selection.cross_validation import CrossValidation, cross_validate
from fdsearch.selection.scores import Score, score
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
    chosen : Chosen
        The candidate, by the study's rule, and what was given up for it.
    comparisons : tuple of dict
        The candidate against each other one, plain values.
    trials : mapping of str to int
        Trial number of each, where it has one.
    params : mapping of str to mapping
        Flat parameters of each trial among them.
    """

    validation: CrossValidation
    scores: Mapping[str, Score]
    chosen: Chosen
    comparisons: tuple[dict[str, Any], ...]
    trials: Mapping[str, int]
    params: Mapping[str, Mapping[str, Any]]

    @property
    def winner(self) -> str:
        return self.chosen.winner

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
        fix = f"`fdsearch search {spec.name}`, with a larger budget if it had one"
        got = "no finished trial"
        if any(record.value is not None for record in records):
            got += f" within search.max_latency_ms ({spec.search.max_latency_ms:g})"
        raise ResourceError("there is nothing to select from", [Fault(str(question.folder), got, "one or more", fix)])
    entries, trials, params = _entries(question, top, records)
    costs = {f"trial-{record.number}": record.seconds for record in records}
    costs[BASELINE] = min((record.seconds for record in records if record.seconds), default=0.0)
    fold_seconds = max(costs[name] for name in entries) / len(question.partition.folds)
    deadline = budget.repeats_deadline(fold_seconds)
    entries = _within_budget(entries, costs, deadline, run)
    validation = repeated(question, entries, run, deadline)
    return _decided(question, validation, records, trials, params, run)


def repeated(
    question: Question, entries: Mapping[str, TrialConfig], run: Running, deadline: float | None
) -> CrossValidation:
    """Cross-validate some configurations on the study's repeats; deadline and errors as in `cross_validate`."""
    run.log.update(now=True, stage="repeats", running=[], time_left_s=None)
    finished, repeats = finished_repeats(question), folds_of_repeats(question, question.spec.selection.n_repeats)
    validation = cross_validate(
        list(entries.items()),
        repeats,
        question.maker,
        continued(run, finished),
        single_split=question.single_split,
        random_state=repeats_random_state(question.spec.search.random_state),
        deadline=deadline,
        models=finished.models_if_room(len(entries) * len(repeats[0])),
        progress=run.log,
    )
    for note in validation.notes:
        run.log.say(note)
    return validation


def folds_of_repeats(question: Question, n_repeats: int) -> list[Sequence[Fold]]:
    """The folds of the first repeats: none of them the search's own."""
    return [repeat_folds(question.partition, index + 1) for index in range(n_repeats)]


def repeats_random_state(search: int) -> int:
    """What the seeds of the repeats' fits follow from, given the search's random state: none of them the search's."""
    return search + 1


def finished_repeats(question: Question) -> FinishedJobs:
    """The fits of the repeats that an ended run left."""
    return FinishedJobs(question.folder / REPEATS)


def baseline_document(question: Question, contest: Contest) -> dict[str, Any]:
    """The frozen probe on the same folds and the candidate's paired gain over it."""
    if BASELINE not in contest.scores:
        why = contest.validation.failures.get(BASELINE, "no pretrained weights on this machine")
        return {"macro_f1_mean": None, "macro_f1_ci": None, "gain": None, "gain_ci": None, "why": why}
    gain = next((row for row in contest.comparisons if row["name"] == BASELINE), None) or _against_itself(
        question, contest.candidate
    )
    return {
        **contest.scores[BASELINE].to_json("macro_f1_mean"),
        "gain": gain["gain"],
        "gain_ci": gain["ci"],
        "gain_level": gain["level"],
        "gain_claimed": gain["claimed"],
        "gain_why": gain["why"],
    }


def contest_luck(question: Question, contest: Contest, records: Sequence[TrialRecord]) -> dict[str, Any]:
    """By how much having been chosen flatters the candidate, from the stored predictions of all trials."""
    return luck_of(question, contest.validation, contest.chosen, contest.trials, records, BASELINE)


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


def _entries(
    question: Question, top: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> tuple[dict[str, TrialConfig], dict[str, int], dict[str, dict[str, Any]]]:
    """The baseline and the best trials, best first: configurations, trial numbers and parameters by name."""
    params = {f"trial-{record.number}": question.space.complete(record.params) for record in top}
    trials = {f"trial-{record.number}": record.number for record in top}
    baseline, point = baseline_config(question.space), baseline_point(question.space)
    if point is not None:
        complete = [record for record in records if record.value is not None]
        same = [record.number for record in complete if question.space.complete(record.params) == point]
        for name in [name for name, value in params.items() if value == point]:
            del params[name], trials[name]
        params[BASELINE] = point
        trials |= {BASELINE: same[0]} if same else {}
    entries = {BASELINE: baseline} if baseline is not None else {}
    entries |= {name: TrialConfig.from_params(value) for name, value in params.items()}
    return entries, trials, params


def _against_itself(question: Question, candidate: Candidate) -> dict[str, Any]:
    """The gain of a candidate that is the baseline: none, in the words of the others."""
    rows, dataset = question.partition.development.rows, question.dataset
    own = candidate.predictions[:, rows]
    return paired_gain(dataset.labels[rows], own, own, dataset.groups[rows], dataset.classes)


def _decided(
    question: Question,
    validation: CrossValidation,
    records: Sequence[TrialRecord],
    trials: Mapping[str, int],
    params: Mapping[str, Mapping[str, Any]],
    run: Running,
) -> Contest:
    """Choose among the configurations that got through, and compare the choice with the others."""
    scores = {candidate.name: score_of(question, candidate) for candidate in validation.candidates}
    # A baseline outside the search space, or over the study's bound, is compared with, but is no answer to the study.
    over = {record.number for record in records if not record.feasible}
    eligible = [name for name in scores if name in params and trials.get(name) not in over] or list(scores)
    of_number = {record.number: record.latency_ms for record in records}
    times = {name: of_number.get(trials.get(name, -1)) for name in eligible}
    latencies = {name: time for name, time in times.items() if time is not None}
    values = {name: scores[name].value for name in eligible}
    chosen = choose_candidate(question, validation, values, latencies, run)
    if chosen.winner != chosen.best:
        run.log.say(f"{chosen.winner} is the candidate, not {chosen.best}: {chosen.why}")
    rows = comparison_rows(question, validation, chosen, trials, folds_of_repeats(question, validation.n_repeats))
    return Contest(validation, scores, chosen, tuple(rows), trials, params)


def score_of(question: Question, candidate: Candidate) -> Score:
    """Macro F1 over the development rows, averaged over repeats."""
    rows, dataset = question.partition.development.rows, question.dataset
    return score(dataset.labels[rows], candidate.predictions[:, rows], dataset.groups[rows], dataset.classes)


def _within_budget(
    entries: Mapping[str, TrialConfig], costs: Mapping[str, float], deadline: float | None, run: Running
) -> dict[str, TrialConfig]:
    """The baseline and as many of the best trials as can be cross-validated at least once in the time left."""
    left = None if deadline is None else deadline - time.monotonic()
    names = sorted(entries, key=lambda name: name != BASELINE)
    count = max(affordable([costs[name] for name in names], left), min(2, len(names)))
    if count < len(names):
        run.log.say(f"only {', '.join(names[:count])} of {len(names)} are compared: the budget carries no more")
    return {name: entries[name] for name in names[:count]}
