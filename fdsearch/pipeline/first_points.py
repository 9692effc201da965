"""Which points a study tries first, and in which order: `search_stage` queues them, `looking` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fdsearch.config import SearchSpec
from fdsearch.pipeline.question import baseline_point
from fdsearch.search.opening import Named, Opening, opening
from fdsearch.space import SearchSpace, Value

CARRIED_OVER = 5
"""Best trials of the earlier data that start the search on new data."""


class FirstPoints(NamedTuple):
    """All points to queue, in order, and the opening among them."""

    points: list[Named]
    opening: Opening


def first_points(search: SearchSpec, space: SearchSpace, earlier: Sequence[Mapping[str, Value]]) -> FirstPoints:
    """The points that a study begins with: the baseline, the opening's probes, the earlier best, the user's recipes.

    Parameters
    ----------
    search : SearchSpec
    space : SearchSpace
    earlier : sequence of mapping
        Best trials on earlier data, best first. A full hand of them takes the place of an opening.
    """
    others: list[Named] = [(f"earlier-{rank}", params) for rank, params in enumerate(earlier, start=1)]
    others += [(recipe.name, recipe.params) for recipe in search.enqueue]
    baseline = baseline_point(space)
    if baseline is None:
        return FirstPoints(others, Opening())
    opens = search.opens_with_probes and len(earlier) < CARRIED_OVER
    begun = opening(space, baseline, others, search.n_trials) if opens else Opening()
    return FirstPoints([("baseline", baseline), *begun.probes, *others], begun)
