"""Recipes that a search begins with though nobody wrote them down: of an automatic space, and of registered models.

They are hints: a recipe is trained and scored on this study's folds like any other trial, and no earlier score counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fdsearch.errors import FdsearchError
from fdsearch.parameters import PARAMETERS, defaults_of
from fdsearch.pipeline.question import Question
from fdsearch.progress import Progress
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.search.opening import Named, Point, whole
from fdsearch.space import SearchSpace
from fdsearch.trial import TrialConfig

MAX_RECIPES = 3
"""Of registered models; and never more than a quarter of the trials."""


def known_recipes(question: Question, progress: Progress) -> list[Named]:
    """Points to try early, by name, none of them twice.

    First those of an automatic space, then those of the champions and challengers of other models under the same root,
    the latest first, as far as they lie in this study's space.

    Parameters
    ----------
    question : Question
    progress : Progress
        Told of a registry that cannot be read, which is no reason to stop, and of recipes that were chosen on these
        very pictures.
    """
    ours = [(f"recipe: {name}", point) for name, point in (question.auto.recipes if question.auto else ())]
    return ours + _registered(question, progress)


def _registered(question: Question, progress: Progress) -> list[Named]:
    limit = min(MAX_RECIPES, question.spec.search.n_trials // 4)
    try:
        versions = _versions(Registry(question.workspace.registry), question.spec.model_name)
    except (FdsearchError, OSError) as error:
        progress.say(f"no recipes of other models are tried, for the registry cannot be read: {error}".splitlines()[0])
        return []
    found: list[tuple[ModelVersion, Point]] = []
    for version in versions:
        point = recipe_in(question.space, version.manifest.lineage)
        if point is not None and all(point != other for _, other in found):
            found.append((version, point))
    chosen = found[:limit]
    same = ", ".join(version.reference for version, _ in chosen if _of_same_pictures(version, question))
    if same:
        progress.say(f"recipes that were chosen on these very pictures, so no figure here holds that luck: {same}")
    return [(f"recipe of {version.reference}", point) for version, point in chosen]


def _versions(registry: Registry, own: str) -> list[ModelVersion]:
    """Champions and challengers of the other models, the latest first."""
    found = [
        registry.version(row["name"], number)
        for row in registry.models()
        if row["name"] != own
        for number in dict.fromkeys((row["champion"], row["challenger"]))
        if number is not None
    ]
    by_name = sorted(found, key=lambda version: version.reference)
    return sorted(by_name, key=lambda version: version.manifest.created, reverse=True)


def recipe_in(space: SearchSpace, lineage: Mapping[str, Any]) -> Point | None:
    """The point of a space that trains exactly what a version was trained as; None where the space has none.

    Parameters
    ----------
    space : SearchSpace
    lineage : mapping
        As `bundle.lineage` writes it, by this or an earlier fdsearch.
    """
    try:
        config = TrialConfig.from_json(lineage["config"])
        plain = {name: value for name, value in lineage["config"].items() if name in PARAMETERS and name != "phases"}
        stopping = lineage["config"]["early_stopping"]
        said = {**plain, "early_stopping": stopping["monitor"], **{k: v for k, v in stopping.items() if k != "monitor"}}
        point = whole(space, {**defaults_of(config.backbone), **said, **lineage["params"]})
        return point if TrialConfig.from_params(point) == config else None
    except (FdsearchError, KeyError, TypeError, ValueError, AttributeError):  # of another fdsearch, or of a plugin
        return None


def _of_same_pictures(version: ModelVersion, question: Question) -> bool:
    data = version.manifest.lineage.get("data")
    return isinstance(data, Mapping) and data.get("digest") == question.dataset.digest
