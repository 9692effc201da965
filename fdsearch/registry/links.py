"""Whether what a version says of its origin is still what lies beside the registry: run folder, partition, logs, code.

`verification` asks. What is absent, or may rightly have gone on since, is told and is no fault: only the registry's own
files are sealed. A fault is a sealed picture that has become one to train on, which no rightful change can cause.
"""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fdsearch.errors import Fault, IntegrityError
from fdsearch.files import digest_file, digest_json
from fdsearch.registry.arrays import read_arrays
from fdsearch.registry.draft import PREDICTIONS
from fdsearch.registry.holdouts import HoldoutLog, holdout_digest
from fdsearch.registry.provenance import code_digest
from fdsearch.registry.sealed import Sealed
from fdsearch.registry.version import ModelVersion
from fdsearch.spelling import NAME_PATTERN
from fdsearch.workspace import Workspace

Outcome = str | Fault | None
"""Why a link could not be checked; what contradicts it; or None: it holds."""

_DEVELOPMENT = "development"


@dataclass
class Links:
    """What became of the links: how many hold, and of the others a sentence or a fault each."""

    held: int = 0
    unchecked: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, other: Links) -> None:
        """Count what became of other links, too."""
        self.held += other.held
        self.unchecked += other.unchecked
        self.faults += other.faults


def check_links(version: ModelVersion, registered: Mapping[int, str], root: Path, links: Links) -> None:
    """Follow every link of a version whose own files are whole.

    Parameters
    ----------
    version : ModelVersion
    registered : mapping of int to str
        SHA-256 of the manifest of each version of the model.
    root : Path
        The registry's folder; runs and partitions are looked for beside it.
    links : Links
        Is added to.
    """
    for name, outcome in _outcomes(version, registered, root):
        if outcome is None:
            links.held += 1
        elif isinstance(outcome, Fault):
            links.faults.append(outcome)
        else:
            links.unchecked.append(f"{version.reference}, {name}: {outcome}")


def _outcomes(version: ModelVersion, registered: Mapping[int, str], root: Path) -> Iterator[tuple[str, Outcome]]:
    lineage, workspace = version.manifest.lineage, Workspace(root.parent)
    yield from _study(lineage, workspace)
    try:
        sealed, developed = Sealed.of(version), _developed(version)
    except IntegrityError as error:
        yield "data", error.message
        return
    yield "data and partition", _partition(version, workspace, developed, sealed)
    if sealed is not None:
        yield "opening of the holdout", _opening(version, root, sealed)
    if origin := lineage.get("refitted_from"):
        yield "refitted version", _refitted(version, registered, origin)
    yield "code", _code(version)


def _study(lineage: Mapping[str, Any], workspace: Workspace) -> Iterator[tuple[str, Outcome]]:
    """The study's definition and the trial's configuration, from the SQLite file of the run."""
    study, number = lineage.get("study"), lineage.get("trial")
    if not _is_name(study) or "definition" not in lineage:
        yield "study", "the version does not say which"
        return
    path = workspace.run(str(study)) / "study.db"
    if not path.is_file():
        yield "study", f"there is no {path}"
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            known = _studies(database, lineage["definition"])
            yield "study", None if known else f"{path} answers another definition now"
            if number is not None and known:
                yield "trial", _trial(database, known, number, lineage.get("config"))
    except (sqlite3.Error, ValueError, TypeError) as error:
        yield "study", f"{path} cannot be read: {error}"


def _studies(database: sqlite3.Connection, definition: str) -> list[int]:
    """The studies of a file that have a definition: one for each state of the data."""
    query = "SELECT study_id, value_json FROM study_user_attributes WHERE key = 'fdsearch:definition'"
    return [study for study, value in database.execute(query) if digest_json(_attribute(value)) == definition]


def _trial(database: sqlite3.Connection, studies: list[int], number: int, config: Any) -> Outcome:
    query = (
        "SELECT trials.study_id, value_json FROM trials JOIN trial_user_attributes USING (trial_id)"
        " WHERE key = 'fdsearch:config' AND number = ?"
    )
    found = [_attribute(value) for study, value in database.execute(query, (number,)) if study in studies]
    return None if config in found else f"trial {number} is not there, or is another one now"


def _attribute(value: str) -> Any:
    """An attribute of a study or a trial: JSON text within the JSON of the database."""
    return json.loads(json.loads(value))


def _developed(version: ModelVersion) -> list[str] | None:
    """SHA-256 of each picture the version was trained on; None where an older fdsearch did not note them."""
    try:
        content = read_arrays(version.read(PREDICTIONS)).get("content")
    except ValueError as error:
        raise IntegrityError(f"{PREDICTIONS} cannot be read") from error
    return None if content is None else [str(each) for each in content.tolist()]


def _partition(
    version: ModelVersion, workspace: Workspace, developed: list[str] | None, sealed: Sealed | None
) -> Outcome:
    """Every picture of the version is in the partition's file, and none that was sealed may be trained on."""
    noted = version.manifest.lineage.get("partition")
    if not isinstance(noted, dict) or not _is_name(noted.get("name")):
        return "the version does not say which"
    path = workspace.partition(noted["name"])
    if not path.is_file():
        return f"there is no {path}"
    if digest_file(path) == noted.get("digest"):
        return None
    if developed is None or sealed is None:
        return f"{path} has grown since, and the version does not name its pictures"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            roles = {row["content"]: row["role"] for row in csv.DictReader(stream)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        return f"{path} cannot be read: {error}"
    hidden = [str(each) for each in sealed.content.tolist()]
    opened = sum(roles.get(content) == _DEVELOPMENT for content in hidden)
    if opened:
        got = f"{opened} pictures to train on that {version.reference} was judged by"
        fix = "roles never change: restore the file from a backup, before the next run"
        return Fault(str(path), got, "sealed pictures that stay sealed", fix)
    missing = sum(content not in roles for content in {*hidden, *developed})
    return f"{path} no longer names {missing} of its pictures" if missing else None


def _opening(version: ModelVersion, root: Path, sealed: Sealed) -> Outcome:
    """Whoever has answers on sealed pictures is in the log of those who were shown them."""
    holdout = holdout_digest(map(str, sealed.content.tolist()))
    try:
        openings = HoldoutLog(root).read()
    except IntegrityError as error:
        return error.message
    if any(opening.holdout == holdout and opening.model == version.name for opening in openings):
        return None
    return "no opening of these pictures for this model is logged here"


def _refitted(version: ModelVersion, registered: Mapping[int, str], origin: Any) -> Outcome:
    if not isinstance(origin, dict) or origin.get("name") != version.name:
        return "it is of another model"
    known = registered.get(origin.get("version", 0))
    return None if known == origin.get("manifest") else f"version {origin.get('version')} is not in this registry"


def _code(version: ModelVersion) -> Outcome:
    if version.manifest.code == code_digest():
        return None
    return f"made by the code of fdsearch {version.manifest.packages.get('fdsearch', 'of another kind')}, not by this"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(NAME_PATTERN, value) is not None
