"""``exports.json``: what was exported of a version, how far each export is from the model, and how fast it ran.

`pipeline.exporting` writes it beside the exports, `runtimes` chooses by it, and the registry's gates and cards show it.
Versions of before have none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from fdsearch.files import write_json
from fdsearch.registry.manifest import parse_sealed
from fdsearch.spelling import Frozen

EXPORTS, GOLDEN = "exports.json", "golden.npz"
"""``golden.npz`` holds ``pictures`` uint8 (n, size, size, 1) and what ``model.keras`` says of them: ``logits`` and
calibrated ``probabilities``, float32 (n, n_classes)."""

Number = Annotated[FiniteFloat, Field(ge=0)]


class Export(Frozen):
    """One format of a version.

    Parameters
    ----------
    file : str or None
        In the version's folder; None where it could not be made, or does not pass: what tells something else than the
        model is not a part of the version.
    opset : int or None
        Of ONNX's operators.
    max_difference : float or None
        Largest difference of a probability on the golden set from the model's; None where nothing was made, or it
        answers with what is no number.
    tolerance : float or None
        What it may be; None for the model itself.
    decision_changes : int or None
        Pictures of the golden set that get another label or decision than from the model, each as a part of its own.
    passes : bool
        Whether it may be used: it was compared and is within its tolerance.
    why : str or None
        What keeps it from passing.
    batch_1_ms : float or None
        Milliseconds for one picture, decoding left out.
    batch_32_per_s : float or None
        Pictures per second in batches of 32.
    """

    file: str | None = None
    opset: int | None = None
    max_difference: Number | None = None
    tolerance: Number | None = None
    decision_changes: Annotated[int, Field(ge=0)] | None = None
    passes: bool
    why: str | None = None
    batch_1_ms: Number | None = None
    batch_32_per_s: Number | None = None


class Golden(Frozen):
    """The golden set: `n` pictures of the development part."""

    n: Annotated[int, Field(ge=0)]


class MeasuredOn(Frozen):
    """Where the speeds were measured: on the processor, whatever trained the model."""

    machine: str
    cores: int
    versions: dict[str, str]


class Exports(Frozen):
    """The whole file.

    Parameters
    ----------
    golden : Golden
    made_of : dict of str to str
        SHA-256 of the model and of the contract, whose calibration is folded in, by file name.
    measured_on : MeasuredOn
    exports : dict of str to Export
        By format: ``keras`` (the model itself), ``onnx``, ``litert``, ``litert_float16``.
    """

    format: Literal[1] = 1
    golden: Golden
    made_of: dict[str, str] = Field(default_factory=dict)
    measured_on: MeasuredOn
    exports: dict[str, Export]

    @classmethod
    def parse(cls, content: bytes, where: str) -> Exports:
        """Read the file's bytes.

        Raises
        ------
        IntegrityError
            Listing everything that cannot stand in it.
        """
        return parse_sealed(cls, content, where, "the list of exports cannot be read")

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.model_dump(mode="json"))
