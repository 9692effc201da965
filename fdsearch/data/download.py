"""Public picture sets by content: copied from a folder or downloaded, and kept only if every byte is as expected.

The studies that are shipped name these sets; ``FDSEARCH_DATA`` then points to the destination.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fdsearch.errors import ConfigError, Fault, IntegrityError, ResourceError, did_you_mean
from fdsearch.files import digest_file, disk_errors

MAX_ARCHIVE_BYTES = 256_000_000


@dataclass(frozen=True)
class PublicSet:
    """A set of files that is known by its content.

    Parameters
    ----------
    n_files : int
    digest : str
        `set_digest` of the folder.
    source : str
        Where the pictures come from, for people.
    archive : str
        Address of a ZIP that holds the set; empty where it has to come from a folder.
    inside : str
        The archive's folder that is the set, below the archive's own top folder.
    """

    n_files: int
    digest: str
    source: str
    archive: str = ""
    inside: str = ""


SETS = {
    # No archive: the tables of labels and of tiles were made for fdsearch and are not among the published files.
    "magnetic_tile": PublicSet(
        n_files=1346,
        digest="b8c9e7882220ee2a74feabdadf3256047c42f2cfe13fdf6d5de4a7030fee2ee7",
        source="github.com/abin24/Magnetic-tile-defect-datasets. (cc4eb530), plus labels.csv and tile_groups.csv",
    ),
    "pistons": PublicSet(
        n_files=286,
        digest="c30e2e0c2f27998efb9d3349733498a84a56e596a1f4e297b5daedc00598c11e",
        source="github.com/PerceptiLabs/AC-Piston-Checks (commit 700299b)",
        archive="https://github.com/PerceptiLabs/AC-Piston-Checks/archive/700299b.zip",
        inside="data",
    ),
}

BY_HAND = {
    "valeo": "register at the site of the ENS data challenge 157 and put its folders under $FDSEARCH_DATA/valeo, or "
    "draw pictures in its layout: fdsearch data synthesize $FDSEARCH_DATA/valeo_generated --layout challenge",
}
"""Sets that may not be passed on, and how a person gets them."""


def fetch(name: str, destination: Path, from_folder: Path | None = None) -> Path:
    """Make `destination` a public set.

    Parameters
    ----------
    name : str
        A key of `SETS`.
    destination : Path
        The set's folder. One that is there already is verified and left as it is.
    from_folder : Path, optional
        Copy from here (the set itself, or a folder that holds it under its name) instead of downloading.

    Returns
    -------
    Path
        `destination`, absolute.

    Raises
    ------
    ConfigError
        If the name is unknown or `from_folder` is no folder.
    IntegrityError
        If what is there, or what came, is not the set.
    ResourceError
        If the download fails or the disk is full.
    StorageError
        If the destination cannot be written.
    """
    if name not in SETS:
        fault = Fault("NAME", repr(name), "a public set", BY_HAND.get(name) or did_you_mean(name, list(SETS)))
        raise ConfigError("the set is unknown", [fault])
    wanted, target = SETS[name], destination.resolve()
    if target.is_dir() and any(target.iterdir()):
        _verify(target, wanted, "delete the folder and fetch it again")
        return target
    with _arrival(target) as arriving:
        if from_folder is not None:
            _copy(_source(from_folder, name), arriving, wanted)
        else:
            _download(name, wanted, arriving)
        _verify(arriving, wanted, "the source holds another version; see where the set comes from: " + wanted.source)
        arriving.rename(target)
    return target


def set_digest(folder: Path) -> str:
    """SHA-256 over the lines ``SHA-256  path`` of a folder's files, sorted by path; hidden files do not count.

    It is what ``sha256sum`` prints for the sorted list of files, hashed once more.
    """
    total = hashlib.sha256()
    for path in _files(folder):
        total.update(f"{digest_file(folder / path)}  {path}\n".encode())
    return total.hexdigest()


def _files(folder: Path) -> list[str]:
    """Relative names of the regular files, without hidden ones and without following links."""
    names = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(parent, name) for name in files if not name.startswith(".")]
        names += [path.relative_to(folder).as_posix() for path in paths if path.is_file() and not path.is_symlink()]
    return sorted(names)


def _verify(folder: Path, wanted: PublicSet, fix: str) -> None:
    count = len(_files(folder))
    if count != wanted.n_files:
        raise IntegrityError(
            "the files are not the set", [Fault(str(folder), f"{count} files", f"{wanted.n_files}", fix)]
        )
    digest = set_digest(folder)
    if digest != wanted.digest:
        fault = Fault(str(folder), f"the digest {digest}", wanted.digest, fix)
        raise IntegrityError("the files are not the set", [fault])


@contextmanager
def _arrival(target: Path) -> Iterator[Path]:
    """A hidden folder beside the target, which vanishes unless it was renamed."""
    with disk_errors(target, "the pictures"):
        target.parent.mkdir(parents=True, exist_ok=True)
        arriving = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        try:
            arriving.chmod(0o755)
            yield arriving
        finally:
            shutil.rmtree(arriving, ignore_errors=True)


def _source(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        fault = Fault("--from", str(folder), "a folder", "name the folder that holds the set")
        raise ConfigError("there is nothing to copy", [fault])
    return folder / name if (folder / name).is_dir() else folder


def _copy(source: Path, arriving: Path, wanted: PublicSet) -> None:
    """Copy the files of a set; nothing of a folder that has too many or too few of them."""
    files = _files(source)
    if len(files) != wanted.n_files:
        fault = Fault(str(source), f"{len(files)} files", f"the {wanted.n_files} files of the set", "name its folder")
        raise IntegrityError("the folder does not hold the set", [fault])
    for name in files:
        (arriving / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, arriving / name)


def _download(name: str, wanted: PublicSet, arriving: Path) -> None:
    by_hand = f"copy it from a machine that has it: fdsearch data fetch {name} --from DIR"
    if not wanted.archive:
        fault = Fault(name, "no archive that holds all of it", f"a folder with {wanted.source}", by_hand)
        raise ResourceError("the set cannot be downloaded", [fault])
    try:
        import pooch
    except ImportError as error:
        fault = Fault("pooch", "not installed", "the extra `train`", "pip install fdsearch[train]")
        raise ResourceError("a package is missing", [fault]) from error
    pooch.get_logger().setLevel("WARNING")
    with tempfile.TemporaryDirectory() as folder:
        try:
            # No hash here: the archive's bytes may change with the packer, the set's own digest is what counts.
            archive = pooch.retrieve(wanted.archive, known_hash=None, path=folder, fname="set.zip")
        except Exception as error:  # whatever the network layer raises
            fault = Fault(wanted.archive, f"{type(error).__name__}: {error}"[:200], "a download", by_hand)
            raise ResourceError("the download failed", [fault]) from error
        _extract(Path(archive), wanted, arriving)


def _extract(archive: Path, wanted: PublicSet, arriving: Path) -> None:
    """Write the members of one folder of a ZIP, in names and sizes that were checked."""
    room = MAX_ARCHIVE_BYTES
    try:
        with zipfile.ZipFile(archive) as members:
            for member in members.infolist():
                parts = PurePosixPath(member.filename).parts[1:]  # the first is the archive's own top folder
                hidden = any(part.startswith(".") for part in parts)  # and with it `..`
                if member.is_dir() or hidden or len(parts) < 2 or parts[0] != wanted.inside:
                    continue
                with members.open(member) as stream:
                    content = stream.read(room + 1)
                room -= len(content)
                if room < 0:
                    raise zipfile.BadZipFile(f"more than {MAX_ARCHIVE_BYTES} bytes")
                path = arriving.joinpath(*parts[1:])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        fault = Fault(wanted.archive, str(error), "a ZIP of the set", "try again later, or use --from")
        raise IntegrityError("the archive is damaged", [fault]) from error
