"""Commands that look and train nothing: the plan of a run, samples of a space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdsearch.config import StudySpec
from fdsearch.pipeline.database import has_study, location
from fdsearch.pipeline.first_points import first_points, is_trial
from fdsearch.pipeline.known_recipes import known_recipes
from fdsearch.pipeline.question import Question, baseline_point, decide, open_question, read_data
from fdsearch.pipeline.resolving import resolve_space
from fdsearch.pipeline.search_stage import new_data_notes
from fdsearch.progress import Progress, Silent
from fdsearch.search.storage import open_storage
from fdsearch.trial import TrialConfig
from fdsearch.workspace import Workspace

if TYPE_CHECKING:
    import optuna


def plan(spec: StudySpec, root: Path, plugins: Sequence[Path] = (), progress: Progress | None = None) -> dict[str, Any]:
    """What `run` would do: data, parts, folds, space, budget. Reads and decodes pictures, trains nothing.

    Raises
    ------
    FdsearchError
        What `run` would raise before its first trial, a changed definition among it.
    """
    progress = progress or Silent()
    question = open_question(spec, root, plugins, progress, remember=False)
    spec = question.spec
    dataset, partition = question.dataset, question.partition
    groups = dataset.groups
    known = known_recipes(question, progress)
    opening = first_points(spec.search, question.space, (), known).opening
    shares = {"search": 0.55, "repeats": 0.35, "refit_and_holdout": 0.10}
    return {
        "study": spec.name,
        "n": len(dataset),
        "classes": dataset.counts,
        "groups_per_class": dataset.group_counts,
        "development": {"n": len(partition.development.rows), "n_groups": len(set(groups[partition.development.rows]))},
        "holdout": {"n": len(partition.holdout.rows), "n_groups": len(set(groups[partition.holdout.rows]))},
        "n_splits": len(partition.folds),
        "space": question.space.to_json(),
        "space_why": question.space_why,
        "baseline": baseline_point(question.space),
        "probes": [dict(point) for _, point in opening.probes],
        "n_deeper": opening.n_deeper,
        "enqueued": [
            *(recipe.name for recipe in spec.search.enqueue if is_trial(recipe, question.space)),
            *(name for name, _ in known),
        ],
        "n_trials": spec.search.n_trials,
        "budget_s": None
        if spec.budget is None
        else {name: round(share * spec.budget) for name, share in shares.items()},
        "notes": [*dataset.notes, *partition.changes, *_resuming(question)],
    }


def _resuming(question: Question) -> list[str]:
    """What an earlier search of the same name means for the run; raises what the run would."""
    folder = question.folder
    return new_data_notes(open_storage(location(folder)), question) if has_study(folder) else []


def space_samples(spec: StudySpec, n: int, root: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Draw configurations from a study's space as trials would; only a space that is chosen needs the data."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    auto = None
    if spec.undecided:
        workspace, progress = Workspace(root.resolve()), progress or Silent()
        spec, auto = decide(spec, read_data(spec, workspace, progress, remember=False), workspace, remember=False)
    space = resolve_space(spec.space, Silent())
    study: optuna.Study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=spec.search.random_state))
    configs = []
    for _ in range(n):
        params = space.sample(study.ask())
        configs.append({"params": params, "config": TrialConfig.from_params(params).to_json()})
    return {"study": spec.name, "configs": configs, "space_why": list(auto.reasons) if auto else []}
