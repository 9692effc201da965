"""``contract.json``: what stands between a picture and a decision, apart from the weights; numbers and strings only.

`pipeline` writes it beside a model, `predictor` obeys it; whoever deploys the model elsewhere can follow it without
fdsearch: decode and resize, run the model, divide the logits by ``temperature``, add ``bias``, softmax, compare the
sum over ``pass_classes`` with the threshold, or multiply by ``costs`` and take the cheapest decision.

Format 2 may give each class a temperature of its own, decide by costs and hold the evidence behind the decision; format
3 may say from which novelty on a part goes to a person (`novelty`). Earlier contracts are read as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    FiniteFloat,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from fdsearch.errors import Fault, IntegrityError
from fdsearch.files import canonical_json, write_atomic
from fdsearch.imaging import DECODER_VERSION
from fdsearch.spelling import Frozen

MAX_BYTES = 8_000_000
"""Room for the evidence: curves at every threshold, and the pictures of the parts that are decided unevenly."""


class PictureInput(Frozen):
    """What the model is fed: uint8 (n, size, size, 1), 0 black to 255 white, decoded and resized as `imaging` does."""

    size: Annotated[int, Field(ge=1, le=4096)]
    resize: Literal["stretch", "pad", "crop"]
    decoder: str = DECODER_VERSION
    dtype: Literal["uint8"] = "uint8"
    layout: Literal["NHWC"] = "NHWC"
    channels: Literal[1] = 1


class LogitOutput(Frozen):
    """What the model answers: float32 (n, n_classes), no softmax; the label is the class of the largest."""

    kind: Literal["logits"] = "logits"
    dtype: Literal["float32"] = "float32"


Temperature = Annotated[FiniteFloat, Field(gt=0)]
Probability = Annotated[FiniteFloat, Field(ge=0, le=1)]
Cost = Annotated[FiniteFloat, Field(ge=0)]


class Calibration(Frozen):
    """Probabilities are ``softmax(logits / temperature + bias)``.

    `bias` has one number per class, `temperature` one for all classes or one for each.
    """

    temperature: Temperature | tuple[Temperature, ...]
    bias: tuple[FiniteFloat, ...]


class DecisionRule(Frozen, extra="allow"):
    """When a part passes, is rejected or goes to a person, as `fdsearch.decide.decide` reads it.

    Either `pass_threshold`, with `reject_below` (one half where it is absent), or `costs`: for each class what passing,
    reviewing and rejecting such a part costs, and `cost_shift`, added to the log probabilities first. The claim of a
    threshold is that at most `max_escape_rate` of defective parts pass, at `confidence`; counts behind it (numbers and
    strings) may stand beside it. Absent numbers are not written.
    """

    pass_threshold: Probability | None = None
    reject_below: Probability | None = None
    unit: Literal["group", "picture"]
    max_escape_rate: Probability | None = None
    confidence: Probability | None = None
    costs: tuple[tuple[Cost, Cost, Cost], ...] | None = None
    cost_shift: tuple[FiniteFloat, ...] | None = None
    __pydantic_extra__: dict[str, FiniteFloat | int | str | bool | None]

    @model_validator(mode="after")
    def _one_way(self) -> DecisionRule:
        if (self.pass_threshold is None) == (self.costs is None):
            raise ValueError("either `pass_threshold` or `costs`")
        return self

    @model_serializer(mode="wrap")
    def _present(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class NoveltyRule(Frozen):
    """From which novelty on nothing passes, and where in the model known and new pictures are compared.

    A part whose largest score (`fdsearch.novelty.measure.Novelty.score`) is above `threshold` never passes. Where no
    threshold can be given `why` says why, and the embedding is there all the same.

    Parameters
    ----------
    method : str
        A key of `fdsearch.novelty.methods.METHODS`.
    threshold : float or None
    false_alarm_rate : float
        Largest share of regular parts that are sent to a person for their novelty alone.
    unit : {"group", "picture"}
        What `threshold` and `false_alarm_rate` are about.
    cuts : tuple of str
        Layers of the network whose maps make the embedding; no phase trained them.
    dimensions : int
        Numbers in the embedding of a picture.
    why : str or None
    """

    method: str
    threshold: Annotated[FiniteFloat, Field(gt=0)] | None
    false_alarm_rate: Annotated[FiniteFloat, Field(gt=0, lt=1)]
    unit: Literal["group", "picture"]
    cuts: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    dimensions: Annotated[int, Field(ge=1, le=100_000)]
    why: str | None = None

    @model_validator(mode="after")
    def _explained(self) -> NoveltyRule:
        if (self.threshold is None) == (self.why is None):
            raise ValueError("either a `threshold` or a `why`")
        return self


class Contract(Frozen):
    """The whole contract of one version.

    Parameters
    ----------
    classes : tuple of str
        In the order of the logits.
    pass_classes : tuple of str
        The classes that let a part pass; where empty, every decision is ``review``.
    calibration : Calibration
    decision : DecisionRule or None
        None: no threshold could be proven, nothing passes by itself, and `decision_why` says why.
    novelty : NoveltyRule or None
        None: the version cannot tell a novel picture, and `novelty_why` says why.
    evidence : mapping or None
        What is known about the probabilities and decisions: ``calibration``, ``decision``, ``repeatability`` and
        ``novelty`` as the pipeline measured them. Nothing reads it to decide.

    Examples
    --------
    >>> contract = Contract.model_validate(
    ...     {
    ...         "input": {"size": 160, "resize": "pad"},
    ...         "classes": ["crack", "free"],
    ...         "pass_classes": ["free"],
    ...         "calibration": {"temperature": 1.2, "bias": [-0.7, 0.7]},
    ...         "decision": {"pass_threshold": 0.97, "unit": "group", "n_defective": 40},
    ...     }
    ... )
    >>> contract.pass_mask, contract.input.decoder == DECODER_VERSION
    ([False, True], True)
    """

    format: Literal[1, 2, 3] = 3
    input: PictureInput
    output: LogitOutput = LogitOutput()
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    pass_classes: tuple[str, ...] = ()
    calibration: Calibration
    decision: DecisionRule | None = None
    decision_why: str | None = None
    novelty: NoveltyRule | None = None
    novelty_why: str | None = None
    evidence: dict[str, JsonValue] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Contract:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("`classes` without repetition")
        if unknown := set(self.pass_classes) - set(self.classes):
            raise ValueError(f"`pass_classes` among the classes, not {', '.join(sorted(unknown))}")
        rule, temperature = self.decision, self.calibration.temperature
        per_class = {
            "bias": self.calibration.bias,
            "temperature": temperature if isinstance(temperature, tuple) else None,
            "costs": rule.costs if rule else None,
            "cost_shift": rule.cost_shift if rule else None,
        }
        for name, numbers in per_class.items():
            if numbers is not None and len(numbers) != len(self.classes):
                raise ValueError(f"one `{name}` for each of {len(self.classes)} classes")
        canonical_json(self.evidence)  # refuses what is no number
        return self

    @property
    def pass_mask(self) -> list[bool]:
        """For each class whether it lets a part pass."""
        return [name in self.pass_classes for name in self.classes]

    @classmethod
    def parse(cls, content: bytes, where: str) -> Contract:
        """Read a contract's bytes.

        Parameters
        ----------
        content : bytes
        where : str
            Names the file in faults.

        Raises
        ------
        IntegrityError
            Listing everything that cannot stand in a contract.
        """
        fix = "restore the file; a contract is written by fdsearch and never edited"
        if len(content) > MAX_BYTES:
            fault = Fault(where, f"{len(content)} bytes", f"at most {MAX_BYTES}", fix)
            raise IntegrityError("the contract is too large", [fault])
        try:
            return cls.model_validate_json(content, strict=True)
        except ValidationError as error:
            faults = [
                Fault(
                    f"{where}: ${''.join(f'.{part}' for part in item['loc'])}",
                    str(item["input"])[:80],
                    item["msg"],
                    fix,
                )
                for item in error.errors(include_url=False)
            ]
            raise IntegrityError("the contract cannot be read", faults) from error

    def write(self, path: Path) -> None:
        """Write the contract as indented JSON, atomically."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
        write_atomic(path, text.encode())
