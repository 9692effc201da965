"""How much the choice of the candidate flatters it: the trials of a search and their repeats, laid out for the replay.

`candidates` asks; `fdsearch.selection.replay` answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.metrics import UNPREDICTED, predict
from fdsearch.pipeline.choosing import Chosen, tie_rule
from fdsearch.pipeline.question import Question
from fdsearch.records import TrialRecord
from fdsearch.selection.cross_validation import CrossValidation
from fdsearch.selection.replay import optimism
from fdsearch.selection.stack import Stack

Ints = NDArray[np.int64]


def luck_of(
    question: Question,
    validation: CrossValidation,
    chosen: Chosen,
    trials: Mapping[str, int],
    records: Sequence[TrialRecord],
    always: str | None,
) -> dict[str, Any]:
    """By how much having been chosen flatters the candidate; see `fdsearch.selection.replay.optimism`.

    Parameters
    ----------
    trials : mapping of str to int
    records : sequence of TrialRecord
        All trials of the search.
    always : str or None
        The configuration that is compared whatever the search says of it.
    """
    dataset, rows = question.dataset, question.partition.development.rows
    seen = answers(records, {trials[name] for name in chosen.eligible if name in trials})
    stack = make_stack(seen, validation, chosen, trials, rows, always)
    n_finished = sum(record.state != "FAIL" and record.feasible for record in _distinct(records, set()))
    n_seen = sum(_left_predictions(record) for record in seen)
    goes_on = [name for name in chosen.eligible if name != always]
    return optimism(
        dataset.labels[rows],
        stack,
        dataset.groups[rows],
        dataset.classes,
        top_k=max(1, len(goes_on)),
        rule=tie_rule(question),
        n_unseen=max(0, n_finished - n_seen),
    )


def make_stack(
    records: Sequence[TrialRecord],
    validation: CrossValidation,
    chosen: Chosen,
    trials: Mapping[str, int],
    rows: Ints,
    always: str | None,
) -> Stack:
    """Lay out what the search and the repeats predicted, one row for each distinct trial.

    A compared configuration that is no trial of the search gets a row without predictions of the search.

    Parameters
    ----------
    records : sequence of TrialRecord
        Complete or stopped trials that are answers, each parameters once.
    rows : ndarray of int64, shape (m,)
        The development rows, which the stack is about.
    """
    of_number = {trials[name]: name for name in chosen.eligible if name in trials}
    entries = [(record, of_number.get(record.number)) for record in records]
    present = {name for _, name in entries}
    names = [name for _, name in entries] + [name for name in chosen.eligible if name not in present]
    nothing = np.full(len(rows), UNPREDICTED)
    search = [nothing if record.logits is None else predict(record.logits[rows]) for record, _ in entries]
    search += [nothing] * (len(names) - len(entries))
    times = [record.latency_ms for record, _ in entries] + [None] * (len(names) - len(entries))
    latency = [chosen.latencies.get(name or "", time) for name, time in zip(names, times, strict=True)]
    return Stack(
        search=np.stack(search).astype(np.int64),
        complete=np.array([record.state == "COMPLETE" for record, _ in entries] + [True] * (len(names) - len(entries))),
        winner=names.index(chosen.winner),
        contest={place: validation[name].predictions[:, rows] for place, name in enumerate(names) if name is not None},
        latency_ms=np.array([np.nan if time is None else time for time in latency], np.float64),
        always=names.index(always) if always in chosen.eligible else None,
    )


def answers(records: Sequence[TrialRecord], compared: set[int]) -> list[TrialRecord]:
    """The feasible trials with predictions, each parameters once, and those whose numbers are among `compared`."""
    return [
        record
        for record in _distinct(records, compared)
        if record.number in compared or (record.state != "FAIL" and record.feasible and _left_predictions(record))
    ]


def _distinct(records: Sequence[TrialRecord], first: set[int]) -> list[TrialRecord]:
    """One record of each parameters, those named `first` if there is a choice, else whole ones; by number."""
    kept: list[TrialRecord] = []
    order = ("COMPLETE", "PRUNED", "FAIL")
    for record in sorted(
        records,
        key=lambda each: (each.number not in first, order.index(each.state), not _left_predictions(each), each.number),
    ):
        if all(record.params != other.params for other in kept):
            kept.append(record)
    return sorted(kept, key=lambda each: each.number)


def _left_predictions(record: TrialRecord) -> bool:
    return record.logits is not None and bool((~np.isnan(record.logits).any(axis=1)).any())
