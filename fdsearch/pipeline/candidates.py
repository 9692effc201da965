"""Which trials are cross-validated again, and what their cross-validation says about them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdsearch.data.partition import repeat_folds
from fdsearch.errors import Fault, ResourceError
from fdsearch.execution.events import OnResult, Reported
from fdsearch.execution.failures import machine_error
from fdsearch.metrics import confusion, per_class_report, predict
from fdsearch.pipeline.budget import Budget, affordable
from fdsearch.pipeline.finished_jobs import REPEATS, FinishedJobs
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.question import Question, baseline_config, baseline_point
from fdsearch.records import TrialRecord
from fdsearch.search.history import best
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.comparison import paired_gain
from fdsearch.selection.cross_validation import CrossValidation, RunAll, cross_validate
from fdsearch.selection.optimism import optimism
from fdsearch.selection.scores import Score, score
from fdsearch.training.job import OF_THE_MACHINE, Job, Result
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
    repeats = [repeat_folds(question.partition, index + 1) for index in range(spec.selection.n_repeats)]
    run.log.update(now=True, stage="repeats", running=[], time_left_s=None)
    validation = cross_validate(
        list(entries.items()),
        repeats,
        question.maker,
        _continued(run, finished_repeats(question)),
        single_split=question.single_split,
        random_state=spec.search.random_state + 1,
        deadline=deadline,
        progress=run.log,
    )
    for note in validation.notes:
        run.log.say(note)
    scores = {candidate.name: _score(question, candidate) for candidate in validation.candidates}
    # A baseline outside the search space, or over the study's bound, is compared with, but is no answer to the study.
    over = {record.number for record in records if not record.feasible}
    eligible = [name for name in scores if name in params and trials.get(name) not in over] or list(scores)
    winner = max(eligible, key=lambda name: scores[name].value)
    return Contest(validation, scores, winner, trials, params)


def finished_repeats(question: Question) -> FinishedJobs:
    """The fits of the repeats that an ended run left."""
    return FinishedJobs(question.folder / REPEATS)


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
    answers = [record for record in records if record.value is not None and record.feasible]
    complete = [record for record in answers if record.logits is not None]
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


def _continued(run: Running, finished: FinishedJobs) -> RunAll:
    """The executor's `run_all`, which skips what an earlier run finished and ends with `Interrupted` on a signal."""

    def run_all(
        jobs: Sequence[Job], *, on_result: OnResult, deadline: float | None, attempts: int
    ) -> Mapping[str, Result]:
        results = finished.known(jobs)
        by_id = {job.id: job for job in jobs}
        for result in results.values():
            on_result(result)

        def keep(result: Result) -> None:
            if result.failure in OF_THE_MACHINE:  # no candidate may fall out for it
                raise machine_error(result)
            finished.keep(by_id[result.id], result)
            on_result(result)

        def alive(event: Reported) -> bool:
            run.log.update()
            return True

        waiting = [finished.resumable(job) for job in jobs if job.id not in results]
        stop = run.interruption.requested
        results |= run.executor.run_all(waiting, alive, keep, deadline, stop, attempts)
        run.interruption.check()
        return results

    return run_all


def _score(question: Question, candidate: Candidate) -> Score:
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
