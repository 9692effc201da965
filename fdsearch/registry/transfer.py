"""A version on its way to another registry: out as one file, in after every byte of it was compared.

What arrives is byte for byte what left, under the same name and number, so that its manifest's digest and signature
hold on both sides. `packed` looks into the archive.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from fdsearch.errors import ConflictError, Fault, IntegrityError, ResourceError
from fdsearch.files import digest_file, disk_errors, sync_folder, write_atomic
from fdsearch.registry.draft import INCOMING, numbers, publish, sweep, version_faults
from fdsearch.registry.events import check_texts
from fdsearch.registry.manifest import MANIFEST
from fdsearch.registry.model import Model
from fdsearch.registry.packed import MAX_ARCHIVE, Packed, opened
from fdsearch.registry.references import check_name
from fdsearch.registry.signature import check_signature
from fdsearch.registry.state import ModelState
from fdsearch.registry.version import SIGNATURE_FILE, ModelVersion

_NEVER = (1980, 1, 1, 0, 0, 0)
"""The time of every member, so that a version has one archive, whoever exports it and when."""
_MODE = 0o640
_OVERHEAD = 500
"""More than what the format adds for a member, bytes."""


def archive_name(version: ModelVersion) -> str:
    """The file a version is exported to where no other is asked for.

    Its name is the model's with the version's number: ``magnetic_tile-0003.zip``.
    """
    return f"{version.name}-{version.version:04d}.zip"


def export_version(version: ModelVersion, target: Path) -> dict[str, Any]:
    """Write a version as one archive, whole or not at all; the same version always gives the same bytes.

    Parameters
    ----------
    version : ModelVersion
    target : Path
        The file; its folder must exist.

    Returns
    -------
    dict
        ``archive`` (absolute path), ``bytes``, ``sha256`` (of the archive), ``manifest`` (SHA-256 of its manifest,
        which the logs of both registries name), ``name``, ``version``.

    Raises
    ------
    ConflictError
        If there is such a file already.
    IntegrityError
        If a file of the version is not as it was registered.
    ResourceError, StorageError
        If the disk is full or cannot be written, or the version is too large for an archive.
    """
    if target.exists():
        fault = Fault(str(target), "a file", "no such file", "remove it, or choose another name with --to")
        raise ConflictError("the archive is there already", [fault])
    if faults := version.faults():
        raise IntegrityError("a version with changed files is not exported", faults)
    _check_size(version)
    with disk_errors(target, "the archive"):
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as stream:
                with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
                    for name in _files(version):
                        _add(archive, version.path / name, name)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(_MODE)
            with opened(Path(temporary)) as packed:  # what was read above may have changed since it was compared
                packed.check()
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
    return {
        "archive": str(target.absolute()),
        "bytes": target.stat().st_size,
        "sha256": digest_file(target),
        "manifest": packed.digest,
        "name": version.name,
        "version": version.version,
    }


def import_version(root: Path, archive: Path, *, by: str) -> dict[str, Any]:
    """Register the version that an archive holds, after comparing every byte of it with its manifest.

    Parameters
    ----------
    root : Path
        ``ROOT/registry``.
    archive : Path
    by : str
        Who brings it; the log keeps it.

    Returns
    -------
    dict
        ``name``, ``version``, ``manifest`` (SHA-256), ``path``, and ``registered``: False where this very version was
        there before.

    Raises
    ------
    ConfigError
        If there is no such file, or `by` is empty.
    ConflictError
        If the registry has, or had, another version of this name and number.
    IntegrityError
        If the archive is not what was exported, is not signed by the public key that the environment names, or the
        model's log is damaged. Nothing of it is kept then.
    ResourceError, StorageError
        If the disk is full, or cannot be written.
    """
    check_texts(by=by)
    with opened(archive) as packed:
        packed.check()
        model = Model(root / check_name(packed.manifest.name))
        model.make()
        with model.change() as state:
            sweep(model.versions, state.manifests, state.collected)
            new = _is_new(packed, model, state)
            if new:
                if not _is_left_over(packed, model):
                    _unpack(packed, model)
                details = {"manifest": packed.digest, "archive": archive.name}
                number, why = packed.manifest.version, "imported"
                model.log.append("registered", number, by=by, why=why, details=details)
    return {
        "name": model.name,
        "version": packed.manifest.version,
        "manifest": packed.digest,
        "path": str(model.place(packed.manifest.version).resolve()),
        "registered": new,
    }


def _is_new(packed: Packed, model: Model, state: ModelState) -> bool:
    """Whether the version is not there yet; another one in its place is a conflict."""
    number = packed.manifest.version
    if state.manifests.get(number) == packed.digest:
        if faults := model.open(number, state).faults():
            raise IntegrityError("this very version is registered here, and damaged", faults)
        return False
    taken = {*state.manifests, *state.collected}
    if number not in taken and (number not in numbers(model.versions) or _is_left_over(packed, model)):
        return True
    got = "a version that was removed" if number in state.collected else "another version"
    fix = "use the archive where the number is free: under another --root, or train under another registry.model"
    if number not in taken:
        got = "a folder that no event knows"
        fix = f"look at it; `fdsearch registry gc {model.name}:{number} --by NAME` removes it"
    where = f"{model.name}:{number:04d}"
    raise ConflictError("the number of this version is taken", [Fault(where, got, "a number never given", fix)])


def _is_left_over(packed: Packed, model: Model) -> bool:
    """Whether an import of this very version was killed after its folder was whole, and before its event."""
    try:
        return not ModelVersion.open(model.place(packed.manifest.version), packed.digest).faults()
    except IntegrityError:
        return False


def _unpack(packed: Packed, model: Model) -> None:
    temporary = Path(tempfile.mkdtemp(dir=model.versions, prefix=INCOMING))
    try:
        for name in packed.manifest.files:
            place = temporary / name
            place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            with place.open("xb") as writer:
                packed.copy(name, writer)
                writer.flush()
                os.fsync(writer.fileno())
            place.chmod(_MODE)
        for folder in (each for each in temporary.rglob("*") if each.is_dir()):
            sync_folder(folder)
        if faults := version_faults(temporary):
            raise IntegrityError("the archive is refused; nothing of it was kept", faults)
        if packed.signature is not None:
            write_atomic(temporary / SIGNATURE_FILE, packed.signature)
        write_atomic(temporary / MANIFEST, packed.content)
        check_signature(ModelVersion.open(temporary, packed.digest))
        model.begin()
        publish(temporary, model.versions, packed.manifest.version)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _files(version: ModelVersion) -> list[str]:
    """The manifest, its signature where somebody has signed, and every file that it names."""
    signed = [SIGNATURE_FILE] if (version.path / SIGNATURE_FILE).is_file() else []
    return [MANIFEST, *signed, *sorted(version.manifest.files)]


def _check_size(version: ModelVersion) -> None:
    size = sum(seal.size + _OVERHEAD for seal in version.manifest.files.values())
    if size > MAX_ARCHIVE - 1_000_000:
        fault = Fault(str(version.path), f"{size} bytes", f"at most {MAX_ARCHIVE}", "copy the version's folder instead")
        raise ResourceError("the version is too large for an archive", [fault])


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    member = zipfile.ZipInfo(name, _NEVER)
    member.create_system = 3  # Unix, also where the archive is written on Windows
    member.external_attr = _MODE << 16
    member.file_size = path.stat().st_size
    with path.open("rb") as reader, archive.open(member, "w") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
