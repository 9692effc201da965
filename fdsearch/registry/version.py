"""A version of a model: a folder whose files are read only as they were sealed.

`store` finds versions under ROOT/registry; `serving` reads them there, or wherever a version's folder was copied to.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdsearch.errors import Fault, IntegrityError
from fdsearch.files import digest_file
from fdsearch.registry.manifest import MANIFEST, MAX_BYTES, RESTORE, FileSeal, Manifest, walk

LARGEST_FILE = 2_000_000_000
"""Largest file of a version that is read as a whole, bytes; ONNX cannot be larger either."""

SIGNATURE_FILE, SIGNATURE_BYTES = "manifest.json.sig", 64
"""What `signature` checks; no manifest can name it, since it is made of the manifest."""


@dataclass(frozen=True)
class ModelVersion:
    """A sealed folder, with what the registry's log says about it.

    Parameters
    ----------
    path : Path
        The folder, absolute.
    manifest : Manifest
    aliases : tuple of str
        ``champion`` and ``challenger``, where they point here; empty for a folder outside a registry.
    gates : tuple of dict
        Result of the last evaluation, as `gates.evaluate` returns it.
    """

    path: Path
    manifest: Manifest
    aliases: tuple[str, ...] = ()
    gates: tuple[dict[str, Any], ...] = ()

    @classmethod
    def open(
        cls,
        path: Path,
        digest: str | None = None,
        *,
        aliases: tuple[str, ...] = (),
        gates: tuple[dict[str, Any], ...] = (),
    ) -> ModelVersion:
        """Read a folder's manifest.

        Parameters
        ----------
        path : Path
        digest : str, optional
            SHA-256 the manifest must have, as the registry's log recorded it. Without it the folder is only known to
            agree with itself.
        aliases, gates
            As in the class.

        Raises
        ------
        IntegrityError
            If the manifest is missing, has another digest, or is no manifest.
        """
        place = path / MANIFEST
        content = _read_regular(place, MAX_BYTES)
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            fault = Fault(str(place), "other bytes", f"the manifest with SHA-256 {digest[:12]}...", RESTORE)
            raise IntegrityError("the manifest is not the one that was registered", [fault])
        return cls(path.resolve(), Manifest.parse(content, str(place)), aliases, gates)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """The version's number, from 1."""
        return self.manifest.version

    @property
    def reference(self) -> str:
        """``NAME:VERSION``."""
        return f"{self.name}:{self.version:04d}"

    def manifest_bytes(self) -> bytes:
        """The manifest as it stands in its file now; `IntegrityError` where it cannot be read."""
        return _read_regular(self.path / MANIFEST, MAX_BYTES)

    @property
    def manifest_digest(self) -> str:
        """SHA-256 of the manifest as it stands now, which tells versions of one number in two registries apart."""
        return hashlib.sha256(self.manifest_bytes()).hexdigest()

    def read(self, filename: str, at_most: int = LARGEST_FILE) -> bytes:
        """Return a file's bytes, compared with the manifest before anybody parses them.

        Parameters
        ----------
        filename : str
        at_most : int
            Bytes that are read; a folder from elsewhere may hold anything.

        Raises
        ------
        IntegrityError
            If the manifest does not name the file, it is too large, or its size or digest differ.
        """
        seal = self.manifest.files.get(filename)
        if seal is None:
            fault = Fault(str(self.path / MANIFEST), f"no {filename}", "a complete version", RESTORE)
            raise IntegrityError("the version lacks a file", [fault])
        if seal.size > at_most:
            fault = Fault(str(self.path / filename), f"{seal.size} bytes", f"at most {at_most} bytes", RESTORE)
            raise IntegrityError("a file of the version is too large", [fault])
        content = _read_regular(self.path / filename, seal.size)
        if len(content) != seal.size or hashlib.sha256(content).hexdigest() != seal.sha256:
            raise IntegrityError("a file is not as it was registered", [_changed(self.path / filename, seal)])
        return content

    def read_json(self, filename: str) -> Any:
        """Return a file's JSON value; errors as in `read`, and if it is no JSON."""
        content = self.read(filename)
        try:
            return json.loads(content, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            fault = Fault(str(self.path / filename), str(error), "JSON", RESTORE)
            raise IntegrityError("a file of the version cannot be read", [fault]) from error

    def faults(self) -> list[Fault]:
        """Compare every byte with the manifest; list changed, missing, additional and irregular files."""
        found: list[Fault] = []
        entries = dict(walk(self.path))
        for relative, mode in entries.items():
            place = self.path / relative
            seal = self.manifest.files.get(relative)
            if not stat.S_ISREG(mode):
                found.append(Fault(str(place), "something that is not a regular file", "a regular file", RESTORE))
            elif relative == MANIFEST:
                continue
            elif relative == SIGNATURE_FILE and seal is None:
                if place.stat().st_size != SIGNATURE_BYTES:
                    got, expected = f"{place.stat().st_size} bytes", f"a signature of {SIGNATURE_BYTES} bytes"
                    found.append(Fault(str(place), got, expected, "have the manifest signed again, or remove it"))
            elif seal is None:
                found.append(Fault(str(place), "a file the manifest does not name", "no such file", "remove it"))
            elif place.stat().st_size != seal.size or digest_file(place) != seal.sha256:
                found.append(_changed(place, seal))
        missing = sorted(set(self.manifest.files) - set(entries))
        return found + [
            Fault(str(self.path / name), "no such file", "a file of this version", RESTORE) for name in missing
        ]


def _read_regular(path: Path, size: int) -> bytes:
    """Read at most `size` + 1 bytes of a regular file; a link is not followed and a FIFO not waited for."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError("not a regular file")
        with open(path, "rb", opener=_open_no_follow) as stream:
            return stream.read(size + 1)
    except OSError as error:
        fault = Fault(str(path), error.strerror or str(error), "a readable regular file", RESTORE)
        raise IntegrityError("a file of the version cannot be read", [fault]) from error


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _open_no_follow(path: str, flags: int) -> int:
    # The flag is absent on Windows, where making a link needs a privilege.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _changed(path: Path, seal: FileSeal) -> Fault:
    return Fault(str(path), "other bytes", f"{seal.size} bytes with SHA-256 {seal.sha256[:12]}...", RESTORE)
