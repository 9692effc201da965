"""Studies from YAML: every fault of the study, its space and its paths at once, as ``file: $.path``.

Paths inside a study are relative to its file, else to ``FDSEARCH_DATA``; nothing but their existence is looked at here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fdsearch.config import AUTO, DataSpec, SearchSpec, StudySpec
from fdsearch.errors import ConfigError, Fault, did_you_mean
from fdsearch.parameters import PARAMETERS, parameter_faults
from fdsearch.shipped import shipped
from fdsearch.space import SearchSpace
from fdsearch.space_reader import parse_space
from fdsearch.spelling import Frozen
from fdsearch.unseen import DriftSpec, NoveltySpec
from fdsearch.yaml_reader import read_yaml

_Section = TypeVar("_Section", bound=BaseModel)


def load_study(path: Path, *, data_root: Path | None = None) -> StudySpec:
    """Read a study file.

    Parameters
    ----------
    path : Path
        A YAML file.
    data_root : Path, optional
        Second place for relative paths; default the environment variable ``FDSEARCH_DATA``.

    Raises
    ------
    ConfigError
        With every fault of the study, its space and its paths.
    """
    raw = read_yaml(path)
    if isinstance(raw, dict) and isinstance(raw.get("space"), str) and raw["space"] != AUTO:
        space_file = _space_file(raw["space"], path)
        space: Any = read_yaml(space_file)
        return parse_study({**raw, "space": space}, str(path), path.parent, data_root, space_where=f"{space_file}: $")
    return parse_study(raw, str(path), path.parent, data_root)


def _space_file(name: str, study: Path) -> Path:
    """A path beside the study, or the bare name of a shipped space."""
    ours = {file.stem: file for file in shipped("search_spaces").glob("*.yaml")}
    found = ours.get(name, study.parent / name)
    if not found.is_file():
        expected = f"{AUTO}, a file beside the study, or a shipped space (no file {found})"
        raise ConfigError(
            "the search space cannot be found",
            [Fault(f"{study}: $.space", repr(name), expected, did_you_mean(name, [*ours, AUTO]))],
        )
    return found


def parse_study(
    raw: Any, where: str, folder: Path, data_root: Path | None = None, *, space_where: str | None = None
) -> StudySpec:
    """Check a decoded study; arguments and errors as in `load_study`."""
    if not isinstance(raw, dict):
        fault = Fault(
            where, type(raw).__name__, "a mapping with name, data and space", "see studies/magnetic_tile.yaml"
        )
        raise ConfigError("the study is not a mapping", [fault])
    faults: list[Fault] = []
    values = _left_open(raw) if raw.get("space") == AUTO else dict(raw)
    try:
        if "space" in values and raw["space"] != AUTO:
            values["space"] = parse_space(values["space"], space_where or f"{where}: $.space")
            faults += _space_faults(values["space"], space_where or f"{where}: $.space")
    except ConfigError as error:
        faults += error.faults
        values["space"] = SearchSpace(())
    spec = None
    try:
        spec = StudySpec.model_validate(values)
    except ValidationError as error:
        faults += [_fault(item, where) for item in error.errors(include_url=False)]
    # Sound sections are looked into even where another one is not.
    search, data = _alone(SearchSpec, values.get("search", {})), _alone(DataSpec, values.get("data"))
    for index, recipe in enumerate(search.enqueue if search else ()):
        faults += parameter_faults(recipe.params, f"{where}: $.search.enqueue[{index}].params")
    if data is not None:
        data = _resolve_paths(data, where, folder, data_root, faults)
    if faults or spec is None:
        raise ConfigError("the study has faults", faults)
    found: dict[str, Any] = {"drift": _resolve_drift(spec.drift, _places(folder, data_root))} if spec.drift else {}
    if spec.novelty.examples is not None:
        found["novelty"] = _resolve_novelty(spec.novelty, spec.novelty.examples, _places(folder, data_root))
    return spec.model_copy(update={"data": data, "notify": _resolve_program(spec.notify, folder), **found})


def _left_open(raw: dict[str, Any]) -> dict[str, Any]:
    """A study with ``space: auto``: an empty space, and the names of what is chosen once the data has been read."""
    search = raw.get("search")
    stated = {"n_trials"} if isinstance(search, dict) and "n_trials" in search else set()
    stated |= {"budget"} if "budget" in raw else set()
    chosen = tuple(name for name in ("space", "n_trials", "budget") if name not in stated)
    return {**raw, "space": SearchSpace(()), "chosen": chosen}


def _alone(model: type[_Section], section: Any) -> _Section | None:
    try:
        return model.model_validate(section)
    except ValidationError:  # its faults are listed with those of the whole study
        return None


def _space_faults(space: SearchSpace, where: str) -> list[Fault]:
    """Wrong parameter names, and values of a distribution that training would refuse."""
    faults: list[Fault] = []
    for distribution in space.distributions:
        values = distribution.choices or (distribution.low, distribution.high)
        for value in values:
            found = parameter_faults({distribution.name: int(value) if distribution.kind == "int" else value}, where)
            faults += [fault for fault in found if fault not in faults]
    return faults


def _resolve_paths(data: DataSpec, where: str, folder: Path, data_root: Path | None, faults: list[Fault]) -> DataSpec:
    variable, places = os.environ.get("FDSEARCH_DATA"), _places(folder, data_root)

    def find(path: Path, key: str) -> Path:
        candidates = [path] if path.is_absolute() else [place / path for place in places]
        for candidate in candidates:
            matches = sorted(candidate.parent.glob(candidate.name)) if "*" in candidate.name else [candidate]
            if len(matches) == 1 and matches[0].exists():
                return matches[0].resolve()
            if len(matches) > 1:
                several = ", ".join(match.name for match in matches)
                faults.append(
                    Fault(f"{where}: $.{key}", several, f"one file like {path}", "name it, or move the others")
                )
                return path
        tried = " nor ".join(str(candidate) for candidate in candidates)
        hint = "" if path.is_absolute() or variable else "; FDSEARCH_DATA is not set"
        fix = data.source or "mend the path, or set FDSEARCH_DATA to the folder that holds it"
        faults.append(Fault(f"{where}: $.{key}", str(path), f"an existing path (neither {tried}{hint})", fix))
        return path

    manifest = find(data.manifest, "data.manifest")
    default_images = manifest if manifest.is_dir() else manifest.parent
    updates: dict[str, Any] = {
        "manifest": manifest,
        "images": find(data.images, "data.images") if data.images else default_images,
    }
    if data.corrections:
        updates["corrections"] = find(data.corrections, "data.corrections")
    if data.group.csv:
        updates["group"] = data.group.model_copy(update={"csv": find(data.group.csv, "data.group.csv")})
    return data.model_copy(update=updates)


def _places(folder: Path, data_root: Path | None) -> list[Path]:
    """Where relative paths of a study start from, in order."""
    variable = os.environ.get("FDSEARCH_DATA")
    return [folder, *([data_root] if data_root else []), *([Path(variable)] if variable else [])]


def _resolve_drift(drift: DriftSpec, places: list[Path]) -> DriftSpec:
    """Absolute paths of what is there; the labels of such pictures are often still to be made."""

    def find(path: Path) -> Path:
        matches = [match for place in places for match in sorted((place / path).parent.glob(path.name))]
        return matches[0].resolve() if matches else path

    images = {} if drift.images is None else {"images": find(drift.images)}
    return drift.model_copy(update={"manifest": find(drift.manifest), **images})


def _resolve_novelty(novelty: NoveltySpec, examples: Path, places: list[Path]) -> NoveltySpec:
    """Where the examples of drift lie; whether there are any is seen when they are read."""
    found = [place / examples.expanduser() for place in places]
    there = next((path for path in found if path.is_dir()), found[0])
    return novelty.model_copy(update={"examples": there.absolute()})


def _resolve_program(command: tuple[str, ...] | None, folder: Path) -> tuple[str, ...] | None:
    """A command whose program is a relative path, made absolute: beside the study. A bare name is looked up in PATH."""
    if command is None or "/" not in command[0]:
        return command
    return (str((folder / Path(command[0]).expanduser()).absolute()), *command[1:])


def _fault(item: Any, where: str) -> Fault:
    path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in _yaml_path(item["loc"]))
    kind, got = item["type"], repr(item["input"])
    place = f"{where}: {path}"
    if kind == "missing":
        return Fault(place, "nothing", "a value", f"add `{item['loc'][-1]}:`")
    if kind == "extra_forbidden":
        return Fault(
            place, "an unknown key", "a key of the study", did_you_mean(str(item["loc"][-1]), _known_keys(item["loc"]))
        )
    if kind == "string_pattern_mismatch":
        return Fault(
            place, _short(got), "lower case letters, digits, . _ -, at most 64", "choose a shorter, plain name"
        )
    fix = "change it, or leave it out where it has a default"
    if kind == "literal_error":
        fix = did_you_mean(str(item["input"]), re.findall(r"'([^']*)'", item["ctx"]["expected"]))
    return Fault(place, _short(got), item["msg"].removeprefix("Value error, "), fix)


def _yaml_path(location: tuple[Any, ...]) -> list[Any]:
    """A fault's location without the names that pydantic adds for the branches of a union."""
    return [
        part
        for part in location
        if isinstance(part, int)
        or (re.fullmatch(r"[a-z_][A-Za-z0-9_ ]*", str(part)) and part not in ("float", "constrained-float"))
    ]


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    model: Any = StudySpec
    for part in location[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        annotation = None if field is None else field.annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else Frozen
    return list(model.model_fields) or list(PARAMETERS)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
