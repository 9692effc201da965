"""What a recipe's score owes to the search that chose it, where the recipe is trained again on later data.

`luck` replays a search; here there was none, but the recipe was chosen on pictures that are mostly those of today.
"""

from __future__ import annotations

from typing import Any

from fdsearch.registry.draft import METRICS
from fdsearch.registry.version import ModelVersion
from fdsearch.selection.scores import Score


def inherited_luck(version: ModelVersion, score: Score) -> dict[str, Any]:
    """Take what the choice flattered a version by off the score of its recipe on today's data.

    How much of it is left among today's parts is not known: all of it where there are no new ones, nothing where all
    are new. So the whole is taken off, and the interval goes from the lower end with it to the upper end without.

    Parameters
    ----------
    version : ModelVersion
        Whose recipe it is; its ``metrics.json`` says what its choice was worth, or what it has inherited itself.
    score : Score
        Of the recipe, out of fold, on today's development parts.

    Returns
    -------
    dict
        The keys of `fdsearch.selection.replay.optimism` that `fdsearch.selection.scores.headline` and reports read;
        ``optimism`` and ``corrected`` are None where the version does not say, with ``why``.
    """
    earlier = version.read_json(METRICS).get("search") or {}
    taken, n_trials, bounds = earlier.get("optimism"), earlier.get("n_trials"), score.interval
    found = {"raw": score.value, "optimism": taken, "n_trials": n_trials, "at_least": True}
    if taken is None:
        why = f"{version.reference} does not say what its choice was worth"
        return {**found, "corrected": None, "ci": None, "level": "", "why": why, "words": ""}
    low, high = (None, None) if bounds.ci is None else bounds.ci
    return {
        **found,
        "corrected": score.value - taken,
        "ci": None if low is None or high is None else [max(0.0, low - taken), high],
        "level": bounds.level,
        "why": bounds.why,
        "words": f"its recipe was chosen on earlier data, which flattered {version.reference} by at least {taken:.3f}",
    }
