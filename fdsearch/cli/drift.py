"""``fdsearch drift``: a production batch against what the version's development pictures looked like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fdsearch.cli import show_drift
from fdsearch.cli.arguments import Images, Model
from fdsearch.cli.command import Call, Document, command
from fdsearch.cli.predict import pictures_and_parts
from fdsearch.errors import ConfigError, Fault, IntegrityError, ResourceError
from fdsearch.workspace import Workspace

if TYPE_CHECKING:
    from fdsearch.registry.version import ModelVersion
    from fdsearch.serving.predictor import Predictor
    from fdsearch.serving.reference import Reference


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    example = r"fdsearch drift magnetic_tile today/ --group '(lot\d+)_' --log looks.jsonl"
    command(app, "drift", example=example, show=show_drift.drift)(drift)


def drift(
    call: Call,
    model: Model,
    images: Images,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="PART",
            help=r"What a picture's part is: a column of the CSV, else a pattern whose capture in the file name is the "
            r"part, as in '(lot\d+)_'. Without it each picture counts as a part.",
            show_default=False,
        ),
    ] = None,
    false_alarm_rate: Annotated[
        float,
        typer.Option(
            "--false-alarm-rate", min=1e-3, max=0.5, metavar="RATE", help="Of any false alarm, in all the looks."
        ),
    ] = 0.01,
    look: Annotated[
        int | None,
        typer.Option(
            "--look",
            min=1,
            max=365,
            metavar="N",
            help="Which look at the line this is, from 1: each spends its share of the rate. Without it and --log this "
            "is the only one.",
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log", metavar="FILE", help="Count the looks in this file, one JSON line for each.", show_default=False
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="What runs the model; default the fastest.", show_default=False),
    ] = None,
) -> Document:
    """Does a batch look as the pictures did that the model was trained on? Tests, class shares, odd pictures."""
    from fdsearch.serving import drift as comparing
    from fdsearch.serving.observed import observe
    from fdsearch.serving.predictor import Predictor

    if look is not None and log is not None:
        fault = Fault("--look", f"{look} beside --log {log}", "one of them", "leave --look out: the log counts")
        raise ConfigError("the number of the look is given twice", [fault])
    files, groups = pictures_and_parts(images, group)
    predictor = Predictor.load(model, Workspace(call.root).registry, format=format)
    version, known = predictor.version, reference_of(predictor)
    schedule = Schedule.of(version, false_alarm_rate, look, log)
    batch = observe(predictor, files, groups, call.progress)
    call.progress.say(f"comparing {len(files)} pictures with {len(known.labels)} of the reference")
    found = comparing.look(known, batch, schedule.level)
    document = {
        **found.to_json(),
        "model": version.reference,
        "format": predictor.runtime.format,
        "n": len(files),
        "n_groups": None if groups is None else len(set(groups)),
        "n_reference": len(known.labels),
        "n_reference_groups": len(set(known.groups.tolist())),
        "false_alarm_rate": false_alarm_rate,
        "look": schedule.look,
        "level": schedule.level,
        "log": None if log is None else str(log.absolute()),
    }
    schedule.record(document)
    return document


def reference_of(predictor: Predictor) -> Reference:
    """The reference pictures of a version.

    Raises
    ------
    ResourceError
        If it was registered without.
    IntegrityError
        If they are not as they were registered, or do not fit the version's contract.
    """
    from fdsearch.registry.manifest import RESTORE
    from fdsearch.serving.reference import MAX_BYTES, REFERENCE, Reference

    version, contract = predictor.version, predictor.contract
    if REFERENCE not in version.manifest.files:
        fix = f"`fdsearch refit {version.name}` registers a version that has them, with the same recipe"
        fault = Fault(str(version.path), f"no {REFERENCE}", "what the development pictures looked like", fix)
        raise ResourceError(f"{version.reference} knows no reference pictures", [fault])
    where = str(version.path / REFERENCE)
    known = Reference.parse(version.read(REFERENCE, MAX_BYTES), where)
    dimensions = None if known.reduction is None else len(known.reduction.mean)
    expected = contract.novelty.dimensions if contract.novelty else dimensions
    if known.classes != contract.classes or dimensions not in (None, expected):
        got = f"classes {', '.join(known.classes)[:80]} and embeddings of {dimensions} numbers"
        fault = Fault(where, got, "those of the contract", RESTORE)
        raise IntegrityError("the reference pictures do not fit the version", [fault])
    return known


@dataclass(frozen=True)
class Schedule:
    """Which look this is, and what it may spend.

    Parameters
    ----------
    look : int or None
        From 1; None where no other look follows.
    level : float
        Probability of a false alarm that this look may have.
    log : Path or None
    manifest : str
        SHA-256 of the version's manifest, by which the log tells versions apart.
    """

    look: int | None
    level: float
    log: Path | None
    manifest: str

    @classmethod
    def of(cls, version: ModelVersion, rate: float, look: int | None, log: Path | None) -> Schedule:
        """Number the look; raises as `fdsearch.serving.looks.next_look`."""
        from fdsearch.serving.looks import level, next_look

        manifest = hashlib.sha256(version.manifest_bytes()).hexdigest()
        number = look if log is None else next_look(log, manifest)
        return cls(number, level(rate, number), log, manifest)

    def record(self, document: Document) -> None:
        """Write the look down, before anybody hears of it."""
        from fdsearch.serving.looks import record

        if self.log is None:
            return
        kept = ("look", "model", "n", "n_groups", "unit", "false_alarm_rate", "level", "drifted")
        entry = {
            "manifest": self.manifest,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            **{key: document[key] for key in kept},
            "p": {test["name"]: test["p"] for test in document["tests"]},
        }
        record(self.log, entry)
