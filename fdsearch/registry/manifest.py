"""``manifest.json``: digest and size of every file of a version, and where the version came from.

`draft` writes it over a prepared folder, `version` reads files only as it says.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from fdsearch.errors import Fault, IntegrityError
from fdsearch.files import canonical_json, digest_file, write_atomic
from fdsearch.registry.provenance import code_digest, package_versions
from fdsearch.spelling import Frozen, Name

MANIFEST = "manifest.json"
MAX_BYTES = 4_000_000
LARGEST_NUMBER = 999_999_999
"""Of a version: what ``NAME:VERSION`` can name."""
RESTORE = "restore the folder from a backup, or register the model again"

FILE_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,3}$"
"""A file's path inside a version: plain names that cannot leave the folder, whichever system reads them."""

Kind = TypeVar("Kind", bound=Frozen)
FileName = Annotated[str, Field(pattern=FILE_PATTERN)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileSeal(Frozen):
    """Digest and size (bytes) of one file."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class Manifest(Frozen):
    """What ``manifest.json`` says.

    `files` has one entry for every other file of the folder, by its relative path with forward slashes; `lineage` is
    what the version's maker knows (digests of data, partition, space and definition, seeds, study, trial); `packages`
    and `code` are what it was made with.
    """

    format: Literal[1]
    name: Name
    version: Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
    created: str
    files: dict[FileName, FileSeal]
    lineage: dict[str, Any]
    packages: dict[str, str]
    code: Sha256

    @classmethod
    def parse(cls, content: bytes, where: str) -> Manifest:
        """Read a manifest's bytes.

        Raises
        ------
        IntegrityError
            Listing everything that no manifest of ours holds.
        """
        return parse_sealed(cls, content, where, "the manifest cannot be read")


def parse_sealed(kind: type[Kind], content: bytes, where: str, message: str) -> Kind:
    """Read the JSON of a version's file as what it must be.

    Raises
    ------
    IntegrityError
        With `message`, listing everything that cannot stand in the file.
    """
    try:
        return kind.model_validate_json(content, strict=True)
    except ValidationError as error:
        faults = [
            Fault(f"{where}: $.{'.'.join(map(str, item['loc']))}", "a wrong value", item["msg"], RESTORE)
            for item in error.errors(include_url=False)
        ]
        raise IntegrityError(message, faults) from error


def seal(folder: Path, name: str, version: int, lineage: Mapping[str, Any]) -> str:
    """Write the manifest over a folder's files and return the manifest's SHA-256 (64 hex digits)."""
    places = {relative: folder / relative for relative, _ in walk(folder)}
    content = canonical_json(
        {
            "format": 1,
            "name": name,
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": {key: {"sha256": digest_file(file), "size": file.stat().st_size} for key, file in places.items()},
            "lineage": dict(lineage),
            "packages": package_versions(),
            "code": code_digest(),
        }
    )
    write_atomic(folder / MANIFEST, content)
    return hashlib.sha256(content).hexdigest()


def walk(folder: Path, prefix: PurePosixPath | None = None) -> Iterator[tuple[str, int]]:
    """Yield (relative path with forward slashes, ``st_mode``) of everything below a folder that is not a folder.

    A link is reported as a link, and never followed.
    """
    for item in sorted(folder.iterdir()):
        relative = PurePosixPath(item.name) if prefix is None else prefix / item.name
        mode = item.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from walk(item, relative)
        else:
            yield relative.as_posix(), mode
