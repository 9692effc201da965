"""What a study may say: frozen, checked values, one class per section of the YAML file; `study_reader` fills them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from fdsearch.space import SearchSpace, Value
from fdsearch.spelling import Frozen, Label, Name, Seconds, Share, words
from fdsearch.unseen import DriftSpec, NoveltySpec

AUTO = "auto"
"""What a study says in place of a search space that fdsearch shall choose."""


class GroupSpec(Frozen):
    """Where the groups (pictures of one part) come from; exactly one source.

    `column`, `csv` + `column`, `filename` (a pattern with one capture), `folder` (path level from the left, 1 is the
    first), `time` (column of timestamps) + `gap`, or `auto`, which may name a `time` column as one of its clues. All
    absent: each picture is its own group.
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
        sources = [self.csv or self.column, self.filename, self.folder, self.auto or self.time or None]
        if sum(source is not None for source in sources) > 1:
            raise ValueError("one source of groups, not several")
        if self.csv is not None and self.column is None:
            raise ValueError("`column` beside `csv`")
        if self.auto and self.gap is not None:
            raise ValueError("no `gap` beside `auto`, which measures what a gap means")
        if not self.auto and (self.time is None) != (self.gap is None):
            raise ValueError("`time` and `gap` together")
        if self.filename is not None and re.compile(self.filename).groups != 1:
            raise ValueError("a pattern with exactly one capture, as in 'lot(\\d+)_'")
        return self


class DataSpec(Frozen):
    """Which pictures, which labels, which parts; `source` tells a person who lacks them how to get them."""

    manifest: Path
    label: str
    images: Path | None = None
    filename: str = "filename"
    group: GroupSpec = GroupSpec()
    corrections: Path | None = None
    metadata: tuple[str, ...] = ()
    rename: dict[Label, str] = Field(default_factory=dict)
    pass_classes: tuple[Label, ...] = ()
    source: str | None = None


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


class SplitSpec(Frozen):
    """How parts are dealt into holdout and folds (or one validation part: `validation`, a share of all pictures).

    `leave_out` names a metadata column: the candidate is also trained without each of its values and tested on it.
    """

    holdout: Share | HoldoutRule = 0.2
    n_splits: Annotated[int, Field(ge=2, le=100)] = 5
    validation: Share | None = None
    random_state: Annotated[int, Field(ge=0, lt=2**32)] = 42
    partition: Name | None = None
    leave_out: str | None = None

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
    """How the space is searched.

    `max_latency_ms` bounds the milliseconds that the exported model takes for one picture; trials above it are trained,
    and the sampler learns from them, but they are no answer. Without a bound nothing is measured.
    """

    n_trials: Annotated[int, Field(ge=1)] = 20
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["median", "percentile", "hyperband", "none"] = "percentile"
    random_state: Annotated[int, Field(ge=0, lt=2**32)] = 0
    opening: Literal["probes", "none"] = "probes"
    max_latency_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    enqueue: tuple[Recipe, ...] = ()

    @property
    def opens_with_probes(self) -> bool:
        """Whether the first trials are probes; a grid has its own points, and random draws are the unbiased control."""
        return self.sampler == "tpe" and self.opening == "probes"


class SelectionSpec(Frozen):
    """How the candidate is chosen among the best trials."""

    top_k: Annotated[int, Field(ge=1, le=50)] = 3
    n_repeats: Annotated[int, Field(ge=1, le=100)] = 2
    rule: Literal["best"] = "best"


Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Costs(Frozen):
    """What each decision about a part of one class costs, in any one unit."""

    pass_: Annotated[Cost, Field(alias="pass")]
    review: Cost
    reject: Cost


class DecisionSpec(Frozen):
    """The promise about escapes: at most `max_escape_rate` of the defective parts pass, at `confidence`.

    `costs` decide instead of a promise. `line_shares` are the shares of the classes on the line, for rates there.
    """

    max_escape_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    unit: Literal["group", "picture"] = "group"
    line_shares: dict[Label, Annotated[float, Field(ge=0, le=1)]] | None = None
    costs: dict[Label, Costs] | None = None

    @model_validator(mode="after")
    def _one_aim(self) -> DecisionSpec:
        if self.costs is not None and self.max_escape_rate is not None:
            raise ValueError("either `max_escape_rate` or `costs`")
        if self.line_shares is not None and abs(sum(self.line_shares.values()) - 1) > 1e-3:
            raise ValueError("`line_shares` that add up to 1")
        return self


class Gates(Frozen):
    """What a candidate must hold to become champion; a figure that cannot be given does not hold.

    `min_macro_f1` bounds the lower end of the headline's interval, `max_escape_rate` what is proven about the share of
    defective parts that pass, `max_latency_ms` the time that the fastest export takes for one picture.
    """

    min_macro_f1: Annotated[float, Field(ge=0, le=1)] | None = None
    max_escape_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_latency_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class RegistrySpec(Frozen):
    """Where the result goes."""

    model: Name | None = None
    gates: Gates = Gates()


class StudySpec(Frozen):
    """A question: data, partition, search space, objective, budget, gates.

    `chosen` names what was left to fdsearch by ``space: auto``: the space, and with it `search.n_trials` and `budget`
    where the study does not state them. Until the data has been read that space is empty (`undecided`).
    """

    name: Name
    data: DataSpec
    space: SearchSpace
    chosen: tuple[Literal["space", "n_trials", "budget"], ...] = ()
    split: SplitSpec = SplitSpec()
    objective: Literal["macro_f1"] = "macro_f1"
    budget: Seconds | None = None
    search: SearchSpec = SearchSpec()
    selection: SelectionSpec = SelectionSpec()
    decision: DecisionSpec = DecisionSpec()
    novelty: NoveltySpec = NoveltySpec()
    registry: RegistrySpec = RegistrySpec()
    drift: DriftSpec | None = None
    audit: bool = True
    notify: Annotated[tuple[str, ...], BeforeValidator(words)] | None = None

    @property
    def model_name(self) -> str:
        """Name in the registry."""
        return self.registry.model or self.name

    @property
    def partition_name(self) -> str:
        return self.split.partition or self.name

    @property
    def undecided(self) -> bool:
        """Whether the space is still to be chosen."""
        return "space" in self.chosen and not self.space.distributions

    def renewed(self) -> StudySpec:
        """The study as it was before fdsearch chose anything."""
        if "space" not in self.chosen:
            return self
        stated = {"n_trials"} if "n_trials" in self.chosen else set()
        search = SearchSpec.model_validate(self.search.model_dump(exclude_unset=True, exclude=stated))
        left = {"budget": None} if "budget" in self.chosen else {}
        return self.model_copy(update={"space": SearchSpace(()), "search": search, **left})

    def to_json(self) -> dict[str, Any]:
        """The study with absolute paths and the whole space, as `study_reader.parse_study` reads it."""
        left = {"space", "chosen"} if self.undecided else {"space"}
        raw = self.model_dump(mode="json", by_alias=True, exclude=left, exclude_none=True, exclude_unset=True)
        return {**raw, "space": AUTO if self.undecided else self.space.to_json()}

    def rules(self) -> dict[str, Any]:
        """The part of the definition that a study file states; what changes it asks another question.

        Budgets, `n_trials`, selection, decision, registry, `audit`, `leave_out` and `notify` are left out: they do not
        change what a score means.
        """
        data = self.data.model_dump(
            mode="json", include={"label", "filename", "metadata", "rename", "pass_classes", "group"}
        )
        if data["group"]["csv"]:
            data["group"]["csv"] = Path(data["group"]["csv"]).name
        return {
            "data": data,
            "split": self.split.model_dump(mode="json", exclude={"partition", "leave_out"}),
            "space": self.space.to_json(),
            "objective": self.objective,
            "search": {
                **self.search.model_dump(
                    mode="json", include={"sampler", "pruner", "random_state", "max_latency_ms"}, exclude_none=True
                ),
                "opening": "probes" if self.search.opens_with_probes else "none",
            },
        }
