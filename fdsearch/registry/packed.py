"""One version in one file: what such an archive holds, checked before anything of it is written anywhere.

A zip without compression, its members one after the other, ``manifest.json`` among them: `transfer` writes and reads
it. Whoever sent it may mean harm, so nothing is taken from it but the bytes of members that the manifest names, each
within its size, and no name of a member ever becomes a path before it was compared with the manifest.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from fdsearch.errors import ConfigError, Fault, IntegrityError
from fdsearch.registry.draft import REQUIRED
from fdsearch.registry.manifest import MANIFEST, MAX_BYTES, FileSeal, Manifest
from fdsearch.registry.version import SIGNATURE_FILE

MAX_ARCHIVE = zipfile.ZIP64_LIMIT
"""Largest archive, bytes: above it the format needs extensions that a reader would have to trust."""

_SIGNATURE_BYTES = 64
_MAX_FILES = 1000
_MAX_DIRECTORY = 1_000_000
_CHUNK = 1 << 20
_LOCAL_HEADER, _END = struct.Struct("<4s5H3I2H"), struct.Struct("<4s4H2IH")
_WIDE_LOCATOR, _WIDE_LOCATOR_BYTES = b"PK\x06\x07", 20
_FIX = "export the version again where it was registered, and copy the whole file"


@dataclass(frozen=True)
class Packed:
    """An archive whose members are known to be those of its manifest.

    Parameters
    ----------
    where : str
        Names the archive in faults.
    manifest : Manifest
    content : bytes
        The manifest as it stands in the archive.
    signature : bytes or None
        The signature that came with it; nobody has compared it yet.
    """

    where: str
    manifest: Manifest
    content: bytes
    signature: bytes | None
    _archive: zipfile.ZipFile

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest."""
        return hashlib.sha256(self.content).hexdigest()

    def check(self) -> None:
        """Compare every byte with the manifest, and write none.

        Raises
        ------
        IntegrityError
            With every member that differs.
        """
        faults: list[Fault] = []
        for name in self.manifest.files:
            try:
                self.copy(name, io.BytesIO(), keep=False)
            except IntegrityError as error:
                faults += error.faults
        if faults:
            raise IntegrityError("the archive does not hold what its manifest names", faults)

    def copy(self, name: str, target: BinaryIO, *, keep: bool = True) -> None:
        """Copy a file's bytes and compare them on the way; `keep` False only compares.

        Raises
        ------
        IntegrityError
            If they are not those that the manifest names.
        """
        seal, found, size = self.manifest.files[name], hashlib.sha256(), 0
        with self._reading(), self._archive.open(name) as member:
            while chunk := member.read(_CHUNK):
                found.update(chunk)
                size += len(chunk)
                if keep:
                    target.write(chunk)
        if (found.hexdigest(), size) != (seal.sha256, seal.size):
            raise self._refused([_differs(f"{self.where}: {name}", seal)])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise self._refused([Fault(self.where, str(error), "an archive of a version", _FIX)]) from error

    def _refused(self, faults: Iterable[Fault]) -> IntegrityError:
        return IntegrityError("the archive is refused; nothing of it was kept", faults)


@contextmanager
def opened(path: Path) -> Iterator[Packed]:
    """Open an archive and compare its members with its manifest; their bytes are compared when they are read.

    Raises
    ------
    ConfigError
        If there is no such file.
    IntegrityError
        If it is no archive of a version, or holds anything else than what its manifest names.
    """
    where = str(path)
    with _open(path) as stream:
        _check(_envelope_faults(stream, where))
        try:
            with zipfile.ZipFile(stream) as archive:
                _check(_member_faults(archive, where))
                content = archive.read(MANIFEST)
                manifest = Manifest.parse(content, f"{where}: {MANIFEST}")
                _check(_content_faults(archive, manifest, where))
                signature = archive.read(SIGNATURE_FILE) if SIGNATURE_FILE in archive.namelist() else None
                yield Packed(where, manifest, content, signature, archive)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
            _check([Fault(where, str(error), "an archive of a version", _FIX)])


def _open(path: Path) -> BinaryIO:
    try:
        if not path.is_file():
            raise OSError("no such file")
        return path.open("rb")
    except OSError as error:
        expected = "an archive that `fdsearch registry export` wrote"
        fault = Fault(str(path), error.strerror or str(error), expected, "check the path")
        raise ConfigError("the archive cannot be read", [fault]) from error


def _check(faults: Iterable[Fault]) -> None:
    if found := list(faults):
        raise IntegrityError("the archive is refused; nothing of it was kept", found)


def _envelope_faults(stream: BinaryIO, where: str) -> Iterator[Fault]:
    """Look at the end of the file before a library parses the directory, which may be of any size."""
    size = stream.seek(0, io.SEEK_END)
    if not _END.size <= size <= MAX_ARCHIVE:
        yield Fault(where, f"{size} bytes", f"an archive of {_END.size} to {MAX_ARCHIVE} bytes", _FIX)
        return
    stream.seek(max(0, size - _END.size - _WIDE_LOCATOR_BYTES))
    tail = stream.read()
    stream.seek(0)
    signature, _, _, _, count, directory, offset, comment = _END.unpack(tail[-_END.size :])
    if signature != b"PK\x05\x06" or comment or tail.startswith(_WIDE_LOCATOR):
        yield Fault(where, "a file that does not end as an archive", "the whole file, as it was exported", _FIX)
    elif count > _MAX_FILES or directory > _MAX_DIRECTORY or offset + directory + _END.size != size:
        yield Fault(where, f"a directory of {count} members and {directory} bytes", "that of a version", _FIX)


def _member_faults(archive: zipfile.ZipFile, where: str) -> Iterator[Fault]:
    """Members stored plainly, one after the other from the first byte to the directory, each name once."""
    free_from, names = 0, set()
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        place = f"{where}: {member.filename[:100]!r}"
        plain = member.compress_type == zipfile.ZIP_STORED and member.compress_size == member.file_size
        special = member.flag_bits & ~0x800 or member.extra or member.comment or member.external_attr >> 16 & ~0o777
        if not plain or special:
            yield Fault(place, "a compressed, encrypted or otherwise special member", "members stored plainly", _FIX)
        if member.filename in names or member.orig_filename != member.filename:
            yield Fault(place, "a name that is there twice, or is none", "each file once", _FIX)
        if member.header_offset != free_from:
            yield Fault(place, "a member that overlaps another, or a gap before it", "one after the other", _FIX)
        names.add(member.filename)
        free_from = member.header_offset + _LOCAL_HEADER.size + len(member.filename.encode()) + member.compress_size
    if free_from != archive.start_dir:
        yield Fault(where, "bytes that belong to no member", "one member after the other", _FIX)
    if MANIFEST not in names:
        yield Fault(where, f"no {MANIFEST}", "an archive of a version", _FIX)
    elif archive.getinfo(MANIFEST).file_size > MAX_BYTES:
        yield Fault(f"{where}: {MANIFEST}", "too many bytes", f"at most {MAX_BYTES}", _FIX)
    if SIGNATURE_FILE in names and archive.getinfo(SIGNATURE_FILE).file_size != _SIGNATURE_BYTES:
        yield Fault(f"{where}: {SIGNATURE_FILE}", "no signature", f"{_SIGNATURE_BYTES} bytes", _FIX)


def _content_faults(archive: zipfile.ZipFile, manifest: Manifest, where: str) -> Iterator[Fault]:
    """The members are the files that the manifest names, in number, name and size, and all that a version has."""
    beside = (MANIFEST, SIGNATURE_FILE)
    sizes = {member.filename: member.file_size for member in archive.infolist() if member.filename not in beside}
    for name in sorted(sizes.keys() - manifest.files.keys()):
        yield Fault(f"{where}: {name[:100]!r}", "a member the manifest does not name", "no such member", _FIX)
    for name, seal in sorted(manifest.files.items()):
        if sizes.get(name) != seal.size:
            yield _differs(f"{where}: {name}", seal)
    for name in sorted(manifest.files):
        if any(above.as_posix() in manifest.files for above in PurePosixPath(name).parents):
            yield Fault(f"{where}: {name}", "a file in another file", "files in folders", _FIX)
    for name in sorted(set(REQUIRED) - manifest.files.keys()):
        yield Fault(f"{where}: {name}", "no such file", "a file every version has", _FIX)


def _differs(place: str, seal: FileSeal) -> Fault:
    return Fault(place, "other bytes, or none", f"{seal.size} bytes with SHA-256 {seal.sha256[:12]}...", _FIX)
