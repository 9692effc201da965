"""Which of the compared configurations is the candidate, what was given up for it, and how the others compare.

`candidates` trains them, `luck` says how much the choice flatters; the rules are those of `fdsearch.selection`:
`choice`, `comparison`, `corrected_t`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdsearch.data.folds import Fold
from fdsearch.errors import ResourceError
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.question import Question
from fdsearch.selection.choice import Choice, TieRule, choose
from fdsearch.selection.comparison import comparisons, paired_gain
from fdsearch.selection.corrected_t import corrected_t
from fdsearch.selection.cross_validation import CrossValidation
from fdsearch.training.latency import Architecture, known, measure


@dataclass(frozen=True)
class Chosen:
    """The candidate among those that are an answer to the study.

    Parameters
    ----------
    winner, best : str
        The one that is taken, and the one with the best score.
    tied : tuple of str
        The others whose paired difference to the best is below one standard error, best first.
    given_up : float
        Macro F1 of the best minus that of the winner.
    why : str
    eligible : tuple of str
        All that could be taken.
    latencies : mapping of str to float
        Milliseconds for a picture, of those for which they are known.
    """

    winner: str
    best: str
    tied: tuple[str, ...]
    given_up: float
    why: str
    eligible: tuple[str, ...]
    latencies: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """What the run's document says about the choice."""
        return {
            "winner": self.winner,
            "best": self.best,
            "tied": list(self.tied),
            "given_up": self.given_up,
            "why": self.why,
        }


def choose_candidate(
    question: Question,
    validation: CrossValidation,
    scores: Mapping[str, float],
    latencies: Mapping[str, float],
    run: Running,
) -> Chosen:
    """Choose among some of the compared configurations.

    Where the best is tied with an architecture of another speed, and speeds are not known yet, they are measured.

    Parameters
    ----------
    scores : mapping of str to float
        Macro F1 of those that are an answer to the study.
    latencies : mapping of str to float
        What the search has measured.
    """
    names = list(scores)
    best = max(names, key=lambda name: scores[name])
    values = [scores[name] for name in names]
    errors = [0.0 if name == best else _gain(question, validation, best, name)["se"] for name in names]
    rule = tie_rule(question)

    def settled(times: Mapping[str, float]) -> Choice:
        return choose(values, errors, [times.get(name, np.nan) for name in names], rule)

    found, choice = dict(latencies), settled(latencies)
    close = [names[place] for place in (choice.best, *choice.tied)]
    if len(close) > 1:
        found |= _measured(question, validation, [name for name in close if name not in found], close, run)
        choice = settled(found)
    return Chosen(
        winner=names[choice.winner],
        best=names[choice.best],
        tied=tuple(names[place] for place in choice.tied),
        given_up=choice.given_up,
        why=choice.why,
        eligible=tuple(names),
        latencies={name: float(time) for name, time in found.items()},
    )


def tie_rule(question: Question) -> TieRule:
    """How this study settles ties."""
    return TieRule(prefer_fast=question.spec.search.max_latency_ms is not None)


def comparison_rows(
    question: Question,
    validation: CrossValidation,
    chosen: Chosen,
    trials: Mapping[str, int],
    repeats: Sequence[Sequence[Fold]],
) -> list[dict[str, Any]]:
    """The candidate against each other compared configuration, as the run's document prints it.

    Parameters
    ----------
    trials : mapping of str to int
        Trial number of each, where it has one.
    repeats : sequence of sequence of Fold
        The folds of the repeats that were run.
    """
    dataset, rows = question.dataset, question.partition.development.rows
    predictions = {candidate.name: candidate.predictions for candidate in validation.candidates}
    compared = comparisons(
        dataset.labels[rows],
        {name: predicted[:, rows] for name, predicted in predictions.items()},
        chosen.winner,
        dataset.groups[rows],
        dataset.classes,
    )
    return [
        {
            **row,
            "trial": trials.get(row["name"]),
            "tied": row["name"] in (chosen.best, *chosen.tied),
            "t": corrected_t(
                dataset.labels,
                predictions[chosen.winner],
                predictions[row["name"]],
                repeats,
                dataset.groups,
                len(dataset.classes),
            ),
            "latency_ms": chosen.latencies.get(row["name"]),
        }
        for row in compared
    ]


def _gain(question: Question, validation: CrossValidation, one: str, other: str) -> dict[str, Any]:
    dataset, rows = question.dataset, question.partition.development.rows
    a, b = (validation[name].predictions[:, rows] for name in (one, other))
    return paired_gain(dataset.labels[rows], a, b, dataset.groups[rows], dataset.classes)


def _measured(
    question: Question, validation: CrossValidation, unknown: Sequence[str], close: Sequence[str], run: Running
) -> dict[str, float]:
    """Latencies of tied configurations: what is on file, else measured where architectures differ at all."""
    n_classes, plugins = len(question.dataset.classes), question.maker.plugins
    built = {name: Architecture(validation[name].config, n_classes, plugins) for name in close}
    folder, found = question.workspace.latencies, dict[str, float]()
    differ = len({architecture.key for architecture in built.values()}) > 1
    for name in unknown:
        if differ and known(folder, built[name]) is None:
            run.log.say(f"{name} is as good as the best as far as can be told: measuring how fast it is")
            try:
                measure(folder, built[name])
            except ResourceError as error:
                run.log.say(f"how fast {name} is remains unknown: {error}")
            run.interruption.check()
        if (latency := known(folder, built[name])) is not None:
            found[name] = latency.latency_ms
    return found
