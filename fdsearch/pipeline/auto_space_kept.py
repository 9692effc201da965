"""An automatic space stays with its run: chosen once, kept beside the trials, the same when there is new data.

The space is a part of what a study asks, and data grows: chosen anew each time, it would end every second run as a
changed definition. ``run --fresh`` moves the file aside with the run, and so chooses again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fdsearch.config import StudySpec
from fdsearch.errors import ConfigError, Fault, StorageError
from fdsearch.files import write_json
from fdsearch.pipeline.auto_space import AutoSpace
from fdsearch.space_reader import parse_space

FILE = "space.json"
KEPT = "space: as this run began, though today it would be another; `--fresh` takes that"


def settle(
    spec: StudySpec, folder: Path, choose: Callable[[], AutoSpace], *, remember: bool
) -> tuple[StudySpec, AutoSpace | None]:
    """Fill in what a study leaves to fdsearch.

    Parameters
    ----------
    spec : StudySpec
    folder : Path
        The run's.
    choose : callable
        Chooses by today's facts.
    remember : bool
        Keep the choice; False writes nothing.

    Returns
    -------
    StudySpec
        With a space, and trials and budget where it had none. What is filled in already stays: a run's own
        ``study.yaml`` says what was chosen for it.
    AutoSpace or None
        None for a space of the user's own, and where nobody knows why it was chosen.

    Raises
    ------
    StorageError
        If the kept file is not as it was written.
    """
    if "space" not in spec.chosen:
        return spec, None
    kept = _read(folder / FILE)
    if not spec.undecided:
        return spec, kept if kept is not None and kept.space == spec.space else None
    found = choose()
    if kept is None and remember:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, _to_json(found))
    if kept is not None and kept.space != found.space:
        # More time or more trials than then are no other question.
        n_trials = max(kept.n_trials, found.n_trials)
        found = replace(kept, reasons=(KEPT, *kept.reasons), n_trials=n_trials, budget_s=found.budget_s)
    return _filled(spec, found), found


def _filled(spec: StudySpec, found: AutoSpace) -> StudySpec:
    search, budget = spec.search, spec.budget
    if "n_trials" in spec.chosen:
        search = search.model_copy(update={"n_trials": found.n_trials})
    if "budget" in spec.chosen:
        budget = found.budget_s
    return spec.model_copy(update={"space": found.space, "search": search, "budget": budget})


def _to_json(found: AutoSpace) -> dict[str, Any]:
    return {
        "format": 1,
        "space": found.space.to_json(),
        "reasons": list(found.reasons),
        "recipes": [{"name": name, "params": dict(params)} for name, params in found.recipes],
        "n_trials": found.n_trials,
        "budget_s": found.budget_s,
    }


def _read(path: Path) -> AutoSpace | None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return AutoSpace(
            parse_space(raw["space"], f"{path}: $.space"),
            tuple(raw["reasons"]),
            tuple((recipe["name"], recipe["params"]) for recipe in raw["recipes"]),
            int(raw["n_trials"]),
            float(raw["budget_s"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        fix = "restore the run's folder from a backup, or start anew with --fresh"
        fault = Fault(str(path), str(error), "the space that was chosen as the run began", fix)
        raise StorageError("the run's search space cannot be read", [fault]) from error
