"""Studies: a YAML file to a frozen `StudySpec`, with every fault listed as ``file: $.path``.

Only `load_study` touches the disk; paths inside a study are relative to its file, else to ``FDSEARCH_DATA``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fdsearch.errors import ConfigError, Fault, did_you_mean
from fdsearch.shipped import shipped
from fdsearch.space import SearchSpace, Value
from fdsearch.trial import PARAMETERS, parameter_faults
from fdsearch.yaml_reader import read_yaml

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_DURATION = re.compile(r"^(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$")


def seconds(value: Any) -> Any:
    """Read a duration: a number of seconds, or text such as ``1h30m``.

    Examples
    --------
    >>> seconds("1h30m"), seconds(90)
    (5400.0, 90)
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value.strip())
    if not match or not any(match.groups()):
        raise ValueError("a duration such as 90s, 40m or 1h30m")
    return sum(float(part) * unit for part, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True) if part)


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Label = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class Frozen(BaseModel):
    """Immutable, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class GroupSpec(Frozen):
    """Where the groups (pictures of one part) come from; exactly one source.

    `column`, `csv` + `column`, `filename` (a pattern with one capture), `folder` (path level from the left, 1 is the
    first), `time` (column of timestamps) + `gap`, or `auto`. All absent: each picture is its own group.
    """

    column: str | None = None
    csv: Path | None = None
    filename: str | None = None
    folder: Annotated[int, Field(ge=1)] | None = None
    time: str | None = None
    gap: Seconds | None = None
    auto: bool = False

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, raw: Any) -> Any:
        if raw is None:
            return {}
        if isinstance(raw, str):
            return {"auto": True} if raw == "auto" else {"column": raw}
        return raw

    @model_validator(mode="after")
    def _one_source(self) -> GroupSpec:
        sources = [self.csv or self.column, self.filename, self.folder, self.time, self.auto or None]
        if sum(source is not None for source in sources) > 1:
            raise ValueError("one source of groups, not several")
        if self.csv is not None and self.column is None:
            raise ValueError("`column` beside `csv`")
        if (self.time is None) != (self.gap is None):
            raise ValueError("`time` and `gap` together")
        if self.filename is not None and re.compile(self.filename).groups != 1:
            raise ValueError("a pattern with exactly one capture, as in 'lot(\\d+)_'")
        return self


class DataSpec(Frozen):
    """Which pictures, which labels, which parts."""

    manifest: Path
    label: str
    images: Path | None = None
    filename: str = "filename"
    group: GroupSpec = GroupSpec()
    corrections: Path | None = None
    metadata: tuple[str, ...] = ()
    rename: dict[Label, str] = Field(default_factory=dict)
    pass_classes: tuple[Label, ...] = ()


class HoldoutRule(Frozen):
    """Holdout by a column: rows with one of `values`, or at and after a date."""

    column: str
    values: tuple[Label, ...] | None = None
    after: Annotated[str, BeforeValidator(str)] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> HoldoutRule:
        if (self.values is None) == (self.after is None):
            raise ValueError("either `values` or `after`")
        return self


Share = Annotated[float, Field(gt=0, lt=1)]


class SplitSpec(Frozen):
    """How parts are dealt into holdout and folds (or one validation part: `validation`, a share of all pictures)."""

    holdout: Share | HoldoutRule = 0.2
    n_splits: Annotated[int, Field(ge=2, le=100)] = 5
    validation: Share | None = None
    random_state: Annotated[int, Field(ge=0, lt=2**32)] = 42
    partition: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_mode(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "validation" in raw and "n_splits" in raw:
            raise ValueError("either `n_splits` or `validation`")
        return raw


class Recipe(Frozen):
    """A point to try first; `reported` is the score its source claims."""

    name: str
    params: dict[str, Value]
    reported: float | None = None


class SearchSpec(Frozen):
    """How the space is searched."""

    n_trials: Annotated[int, Field(ge=1)] = 20
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["median", "percentile", "hyperband", "none"] = "median"
    random_state: Annotated[int, Field(ge=0, lt=2**32)] = 0
    enqueue: tuple[Recipe, ...] = ()


class SelectionSpec(Frozen):
    """How the candidate is chosen among the best trials."""

    top_k: Annotated[int, Field(ge=1, le=50)] = 3
    n_repeats: Annotated[int, Field(ge=1, le=100)] = 2
    rule: Literal["best"] = "best"


class DecisionSpec(Frozen):
    """The promise about escapes: at most `max_escape_rate` of the defective parts pass, at `confidence`."""

    max_escape_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    unit: Literal["group", "picture"] = "group"


class Gates(Frozen):
    """What a candidate must hold to become champion; a figure that cannot be given does not hold."""

    min_macro_f1: Annotated[float, Field(ge=0, le=1)] | None = None


class RegistrySpec(Frozen):
    """Where the result goes."""

    model: Name | None = None
    gates: Gates = Gates()


class StudySpec(Frozen):
    """A question: data, partition, search space, objective, budget, gates."""

    name: Name
    data: DataSpec
    space: SearchSpace
    split: SplitSpec = SplitSpec()
    objective: Literal["macro_f1"] = "macro_f1"
    budget: Seconds | None = None
    search: SearchSpec = SearchSpec()
    selection: SelectionSpec = SelectionSpec()
    decision: DecisionSpec = DecisionSpec()
    registry: RegistrySpec = RegistrySpec()

    @property
    def model_name(self) -> str:
        """Name in the registry."""
        return self.registry.model or self.name

    @property
    def partition_name(self) -> str:
        return self.split.partition or self.name

    def to_json(self) -> dict[str, Any]:
        """The resolved study (absolute paths, the whole space) as plain values that `parse_study` reads back."""
        raw = self.model_dump(mode="json", exclude={"space"}, exclude_none=True, exclude_unset=True)
        return {**raw, "space": self.space.to_json()}

    def rules(self) -> dict[str, Any]:
        """The part of the definition that a study file states; what changes it asks another question.

        Budgets, `n_trials`, selection, decision and registry are left out: they do not change what a score means.
        """
        data = self.data.model_dump(mode="json", include={"label", "filename", "metadata", "rename", "pass_classes", "group"})
        if data["group"]["csv"]:
            data["group"]["csv"] = Path(data["group"]["csv"]).name
        return {
            "data": data,
            "split": self.split.model_dump(mode="json", exclude={"partition"}),
            "space": self.space.to_json(),
            "objective": self.objective,
            "search": self.search.model_dump(mode="json", include={"sampler", "pruner", "random_state"}),
        }


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
    if isinstance(raw, dict) and isinstance(raw.get("space"), str):
        space_file = _space_file(raw["space"], path.parent)
        space: Any = read_yaml(space_file)
        return parse_study({**raw, "space": space}, str(path), path.parent, data_root, space_where=f"{space_file}: $")
    return parse_study(raw, str(path), path.parent, data_root)


def _space_file(name: str, folder: Path) -> Path:
    """A path beside the study, or the bare name of a shipped space."""
    ours = shipped("search_spaces") / f"{name}.yaml"
    return ours if re.fullmatch(NAME_PATTERN, name) and ours.is_file() else folder / name


def parse_study(
    raw: Any, where: str, folder: Path, data_root: Path | None = None, *, space_where: str | None = None
) -> StudySpec:
    """Check a decoded study; arguments and errors as in `load_study`."""
    if not isinstance(raw, dict):
        fault = Fault(where, type(raw).__name__, "a mapping with name, data and space", "see studies/magnetic_tile.yaml")
        raise ConfigError("the study is not a mapping", [fault])
    faults: list[Fault] = []
    values = dict(raw)
    try:
        if "space" in values:
            values["space"] = SearchSpace.parse(values["space"], space_where or f"{where}: $.space")
            faults += _space_faults(values["space"], space_where or f"{where}: $.space")
    except ConfigError as error:
        faults += error.faults
        values["space"] = SearchSpace(())
    spec = None
    try:
        spec = StudySpec.model_validate(values)
    except ValidationError as error:
        faults += [_fault(item, where) for item in error.errors(include_url=False)]
    if spec is not None:
        for index, recipe in enumerate(spec.search.enqueue):
            faults += parameter_faults(recipe.params, f"{where}: $.search.enqueue[{index}].params")
        spec = _resolve_paths(spec, where, folder, data_root, faults)
    if faults or spec is None:
        raise ConfigError("the study has faults", faults)
    return spec


def _space_faults(space: SearchSpace, where: str) -> list[Fault]:
    """Wrong parameter names, and values of a distribution that training would refuse."""
    faults: list[Fault] = []
    for distribution in space.distributions:
        values = distribution.choices or (distribution.low, distribution.high)
        for value in values:
            found = parameter_faults({distribution.name: int(value) if distribution.kind == "int" else value}, where)
            faults += [fault for fault in found if fault not in faults]
    return faults


def _resolve_paths(
    spec: StudySpec, where: str, folder: Path, data_root: Path | None, faults: list[Fault]
) -> StudySpec:
    variable = os.environ.get("FDSEARCH_DATA")
    places = [folder, *([data_root] if data_root else []), *([Path(variable)] if variable else [])]

    def find(path: Path, key: str) -> Path:
        candidates = [path] if path.is_absolute() else [place / path for place in places]
        for candidate in candidates:
            matches = sorted(candidate.parent.glob(candidate.name)) if "*" in candidate.name else [candidate]
            if len(matches) == 1 and matches[0].exists():
                return matches[0].resolve()
        tried = " nor ".join(str(candidate) for candidate in candidates)
        hint = "" if path.is_absolute() or variable else "; FDSEARCH_DATA is not set"
        fix = "mend the path, or set FDSEARCH_DATA to the folder that holds it"
        faults.append(Fault(f"{where}: $.{key}", str(path), f"an existing path (neither {tried}{hint})", fix))
        return path

    data = spec.data
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
    return spec.model_copy(update={"data": data.model_copy(update=updates)})


def _fault(item: Any, where: str) -> Fault:
    path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in _yaml_path(item["loc"]))
    kind, got = item["type"], repr(item["input"])
    place = f"{where}: {path}"
    if kind == "missing":
        return Fault(place, "nothing", "a value", f"add `{item['loc'][-1]}:`")
    if kind == "extra_forbidden":
        return Fault(place, "an unknown key", "a key of the study", did_you_mean(str(item["loc"][-1]), _known_keys(item["loc"])))
    if kind == "string_pattern_mismatch":
        return Fault(place, _short(got), "lower case letters, digits, . _ -, at most 64", "choose a shorter, plain name")
    return Fault(place, _short(got), item["msg"].removeprefix("Value error, "))


def _yaml_path(location: tuple[Any, ...]) -> list[Any]:
    """A fault's location without the names that pydantic adds for the branches of a union."""
    return [part for part in location if isinstance(part, int) or re.fullmatch(r"[a-z_][A-Za-z0-9_ ]*", str(part)) and part not in ("float", "constrained-float")]


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    model: Any = StudySpec
    for part in location[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        annotation = None if field is None else field.annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else Frozen
    return list(model.model_fields) or list(PARAMETERS)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
