"""How a search begins: with probes over what a probe can tell apart, and then with the best of them trained deeper.

Which points these are; `study` queues the first ones, `deepening` the later ones. Nothing here knows Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from fdsearch.errors import ConfigError
from fdsearch.space import Distribution, SearchSpace, Value
from fdsearch.trial import PRESETS, TrialConfig

VARIED = ("backbone", "image_size", "resize", "exposure", "pooling", "class_weighting")
"""What the probes vary: what decides most of a probe's score and means the same when more layers are trained."""
_KEPT = {*VARIED, "weights", "subsample", "probe_c"}
"""What a deeper trial takes over from its probe, beside a plugin's parameters."""
MAX_PROBES = 8
MAX_DEEPER = 3

Point = dict[str, Value]
Named = tuple[str, Mapping[str, Value]]


class Opening(NamedTuple):
    """The beginning of a search: probes after the baseline, and how many of the best are to be trained deeper."""

    probes: Sequence[Named] = ()
    n_deeper: int = 0


class Probe(NamedTuple):
    """A finished probe."""

    number: int
    value: float
    params: Mapping[str, Value]


def opening(space: SearchSpace, baseline: Mapping[str, Value], others: Sequence[Named], n_trials: int) -> Opening:
    """Plan the opening of a search.

    Parameters
    ----------
    space : SearchSpace
    baseline : mapping
        The probe that is trial 0; what the other probes do not vary they have from it.
    others : sequence of (name, partial parameters)
        What is tried first anyway. Those come after the probes, but have the right of way: the probes get a third of
        the trials that they leave, `MAX_PROBES` at most, and repeat none of them. The deeper trials get a sixth.
    n_trials : int
        Planned trials of the study.
    """
    free = n_trials - 1 - len(others)
    n_probes, n_deeper = max(0, min(MAX_PROBES, free // 3)), max(0, min(MAX_DEEPER, free // 6))
    known = [baseline]
    for _, partial in others:
        try:
            known.append(space.complete(partial))
        except ConfigError:  # whoever queues it says so
            continue
    return Opening(opening_points(space, [point for point in known if is_probe(point)], n_probes), n_deeper)


def opening_points(space: SearchSpace, known: Sequence[Mapping[str, Value]], limit: int) -> list[Named]:
    """Spread probes over the choices of `VARIED`.

    Each point shows as many choices as possible that none before it has shown, then as many pairs of choices: a
    pairwise covering array, built greedily. So main effects come first, each seen among others than the baseline's.

    Parameters
    ----------
    space : SearchSpace
    known : sequence of mapping
        Whole points that are tried anyway and need no repetition; the first gives the values that do not vary.
    limit : int
        At most so many points.

    Returns
    -------
    list of (name, parameters)
        Whole points of the space, none equal to another or to a known one; the same in each call.
    """
    if not known or limit < 1:
        return []
    candidates = [point for point in _grid(space, known[0], limit + 1) if is_probe(point) and point not in known]
    seen: set[frozenset[tuple[str, Value]]] = set()
    for point in known:
        seen.update(_levels(point), _pairs(point))
    chosen: list[Named] = []
    while candidates and len(chosen) < limit:
        # The first of equals: spaces list their choices by promise.
        best = max(candidates, key=lambda point: (len(_levels(point) - seen), len(_pairs(point) - seen)))
        candidates.remove(best)
        seen.update(_levels(best), _pairs(best))
        chosen.append((f"probe {len(chosen) + 1}", best))
    return chosen


def deeper_points(space: SearchSpace, probes: Iterable[Probe], limit: int) -> list[Named]:
    """Train what the best probes looked at, deeper: the middle of the space's ranges from a head that a probe found.

    Parameters
    ----------
    space : SearchSpace
    probes : iterable of Probe
    limit : int
        At most so many points.

    Returns
    -------
    list of (name, parameters)
        Whole points of the space, those of the best probe first.
    """
    named = [name for name in space.values("phases") if name in PRESETS]
    # `full` forgets what a probe found; a head alone is what a probe is already, so it is second choice.
    deep = [name for name in named if name not in ("probe", "head", "full")]
    presets = deep or [name for name in named if name == "head"]
    best = sorted(probes, key=lambda probe: (-probe.value, probe.number))
    points: list[Named] = []
    for probe in best:
        kept = {name: value for name, value in probe.params.items() if name in _KEPT or name.startswith("custom_")}
        for preset in presets:
            point = whole(space, {**kept, "phases": preset, "head_init": "probe"})
            if not is_probe(point) and all(point != other for _, other in points):
                points.append((f"{preset} after trial {probe.number}", point))
    return points[:limit]


def is_probe(point: Mapping[str, Value]) -> bool:
    """Whether a whole point trains nothing but a probe."""
    return TrialConfig.from_params(point).epochs == 0


def whole(space: SearchSpace, wanted: Mapping[str, Value]) -> Point:
    """The point of a space that has the wanted values where it can, and defaults elsewhere."""
    point: Point = {}
    for distribution in space.distributions:
        if distribution.active(point):
            point[distribution.name] = _value(distribution, wanted)
    return point


def _value(distribution: Distribution, wanted: Mapping[str, Value]) -> Value:
    name = distribution.name
    return wanted[name] if name in wanted and distribution.holds(wanted[name]) else distribution.default()


def _grid(space: SearchSpace, centre: Mapping[str, Value], n_levels: int) -> list[Point]:
    """All combinations of the first `n_levels` of what varies; the rest as in `centre`."""
    points: list[Point] = [{}]
    for distribution in space.distributions:
        value = _value(distribution, centre)
        levels = _choices(distribution, value)[:n_levels] if distribution.name in VARIED else [value]
        grown = []
        for point in points:
            active = distribution.active(point)
            grown += [{**point, distribution.name: level} for level in levels] if active else [point]
        points = grown
    return points


def _choices(distribution: Distribution, first: Value) -> list[Value]:
    """A value, then the others: all choices of a category, both ends and the middle of a range."""
    choices = list(distribution.choices)
    if not choices:
        low, high = distribution.low, distribution.high
        if distribution.step is not None:
            high = low + math.floor((high - low) / distribution.step + 1e-9) * distribution.step
        ends = (int(low), int(high)) if distribution.kind == "int" else (low, high)
        choices = [*ends, distribution.default()]
    return [first, *(choice for index, choice in enumerate(choices) if choice not in (first, *choices[:index]))]


def _levels(point: Mapping[str, Value]) -> set[frozenset[tuple[str, Value]]]:
    return {frozenset({(name, point[name])}) for name in VARIED if name in point}


def _pairs(point: Mapping[str, Value]) -> set[frozenset[tuple[str, Value]]]:
    return {frozenset(pair) for pair in combinations([(name, point[name]) for name in VARIED if name in point], 2)}
