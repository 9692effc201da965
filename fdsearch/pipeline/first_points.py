"""Which points a study tries first, and in which order: `search_stage` queues them, `looking` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fdsearch.config import Recipe, SearchSpec
from fdsearch.errors import ConfigError
from fdsearch.pipeline.question import baseline_point
from fdsearch.search.opening import Named, Opening, opening
from fdsearch.space import SearchSpace, Value

CARRIED_OVER = 5
"""Best trials of the earlier data that start the search on new data."""


class FirstPoints(NamedTuple):
    """All points to queue, in order, and the opening among them."""

    points: list[Named]
    opening: Opening


def first_points(
    search: SearchSpec, space: SearchSpace, earlier: Sequence[Mapping[str, Value]], known: Sequence[Named] = ()
) -> FirstPoints:
    """The points that a study begins with: baseline, the opening's probes, the earlier best, the user's recipes, hints.

    Parameters
    ----------
    search : SearchSpec
    space : SearchSpace
    earlier : sequence of mapping
        Best trials on earlier data, best first. A full hand of them takes the place of an opening.
    known : sequence of (name, parameters)
        From `known_recipes`.
    """
    others: list[Named] = [(f"earlier-{rank}", params) for rank, params in enumerate(earlier, start=1)]
    others += [(recipe.name, recipe.params) for recipe in search.enqueue if is_trial(recipe, space)]
    others += known
    baseline = baseline_point(space)
    if baseline is None:
        return FirstPoints(others, Opening())
    opens = search.opens_with_probes and len(earlier) < CARRIED_OVER
    begun = opening(space, baseline, others, search.n_trials) if opens else Opening()
    return FirstPoints([("baseline", baseline), *begun.probes, *others], begun)


def is_trial(recipe: Recipe, space: SearchSpace) -> bool:
    """Whether a recipe is queued: one with a reported score need not be a point of the space, it is compared anyway."""
    if recipe.reported is None:
        return True
    try:
        space.complete(recipe.params)
    except ConfigError:
        return False
    return True
