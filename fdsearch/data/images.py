"""Picture files to memory-mapped pixels: each picture decoded once, for all image sizes together.

`PixelStore` is the cache below ``ROOT/cache/pixels``. It knows paths and contents, not labels or studies; `data.survey`
examines pictures through it, `Dataset.decode` makes the pixel files that training maps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from fdsearch.data.file_index import FileIndex, PictureFacts
from fdsearch.data.in_order import in_order
from fdsearch.data.picture_files import check_regular, read_regular
from fdsearch.data.pixel_file import PixelFileWriter, is_whole, pixel_file_name, sweep
from fdsearch.errors import DataError, Fault
from fdsearch.files import disk_errors
from fdsearch.imaging import Gray, PictureError, decode, squares
from fdsearch.progress import Progress, Silent


@dataclass(frozen=True)
class Picture:
    """A file that was found to be a readable picture.

    Parameters
    ----------
    content : str
        SHA-256 of the file's bytes.
    facts : PictureFacts
    """

    content: str
    facts: PictureFacts


class PixelStore:
    """Decoded pictures and what is known about their files, in one folder.

    Several processes may use the folder: files appear by renaming, and a lost index entry only costs time.

    Parameters
    ----------
    folder : Path
        Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hash_files(self, paths: Sequence[Path], progress: Progress | None = None) -> tuple[str, ...]:
        """SHA-256 of each file's bytes; files of unchanged size and modification time are not opened.

        Raises
        ------
        DataError
            Listing every file that cannot be read.
        """
        index = self._index()
        found = list(in_order(lambda path: _hash(path, index), paths, "hashing pictures", progress or Silent()))
        _refuse_errors(paths, found)
        self._save(index)
        return tuple(content for content in found if isinstance(content, str))

    def examine(self, paths: Sequence[Path], progress: Progress | None = None) -> list[Picture | PictureError]:
        """Find out which files are readable pictures, by decoding those whose content is not known yet.

        Returns
        -------
        list
            In the order of `paths`: what was found, or why the file is no picture.
        """
        index = self._index()
        found = list(in_order(lambda path: _examine(path, index), paths, "checking pictures", progress or Silent()))
        self._save(index)
        return found

    def decode(
        self, paths: Sequence[Path], content: Sequence[str], sizes: Sequence[tuple[int, str]], progress: Progress
    ) -> dict[tuple[int, str], Path]:
        """Make the pixel files of several (size, resize policy) pairs in one pass over the pictures.

        Files that are there and whole are used again.

        Parameters
        ----------
        paths : sequence of Path
        content : sequence of str
            SHA-256 of each file, as `hash_files` gives it.
        sizes : sequence of (int, str)
            As `resizing.resize` takes them.

        Returns
        -------
        dict
            Each pair's ``.npy``: uint8, shape (n, size, size, 1).

        Raises
        ------
        DataError
            Listing every picture that has become unreadable or changed since it was hashed.
        ResourceError, StorageError
            If the disk is full, or the folder cannot be written.
        """
        files = {(size, policy): self.folder / pixel_file_name(content, size, policy) for size, policy in sizes}
        missing = [key for key, file in files.items() if not is_whole(file, (len(paths), key[0], key[0], 1))]
        if missing:
            with disk_errors(self.folder, "the decoded pictures"), ExitStack() as stack:
                self.folder.mkdir(parents=True, exist_ok=True)
                sweep(self.folder)
                writers = [
                    stack.enter_context(PixelFileWriter(files[key], (len(paths), key[0], key[0], 1))) for key in missing
                ]
                _fill(writers, missing, paths, content, progress)
        return files

    def _index(self) -> FileIndex:
        return FileIndex(self.folder / "files.json")

    def _save(self, index: FileIndex) -> None:
        with disk_errors(self.folder, "the index of pictures"):
            index.save()


def _fill(
    writers: Sequence[PixelFileWriter],
    sizes: Sequence[tuple[int, str]],
    paths: Sequence[Path],
    content: Sequence[str],
    progress: Progress,
) -> None:
    """Decode every picture once and append it to each writer; commit only if all could be decoded."""
    work = list(zip(paths, content, strict=True))
    found: list[PictureError | None] = []
    # Closed at once where a write fails: the threads would otherwise go on until the error has been dealt with.
    with closing(in_order(lambda item: _rows(*item, sizes), work, "decoding pictures", progress)) as pictures:
        for rows in pictures:
            found.append(rows if isinstance(rows, PictureError) else None)
            if not isinstance(rows, PictureError):
                for writer, row in zip(writers, rows, strict=True):
                    writer.append(row)
    _refuse_errors(paths, found)
    for writer in writers:
        writer.commit()


def _rows(path: Path, content: str, sizes: Sequence[tuple[int, str]]) -> list[Gray] | PictureError:
    try:
        data, _ = read_regular(path)
        if hashlib.sha256(data).hexdigest() != content:
            raise PictureError("bytes that just changed", "a file at rest", "start again when nobody writes to it")
        return squares(data, sizes)
    except PictureError as error:
        return error


def _hash(path: Path, index: FileIndex) -> str | PictureError:
    try:
        known = index.content(path, check_regular(path))
        if known is not None:
            return known
        data, status = read_regular(path)
    except PictureError as error:
        return error
    content = hashlib.sha256(data).hexdigest()
    index.remember(path, status, content)
    return content


def _examine(path: Path, index: FileIndex) -> Picture | PictureError:
    try:
        known = index.content(path, check_regular(path))
        facts = index.facts(known) if known is not None else None
        if known is not None and facts is not None:
            return Picture(known, facts)
        data, status = read_regular(path)
        content = hashlib.sha256(data).hexdigest()
        facts = index.facts(content) or _facts(data)
    except PictureError as error:
        return error
    index.remember(path, status, content, facts)
    return Picture(content, facts)


def _facts(data: bytes) -> PictureFacts:
    decoded = decode(data)
    height, width = decoded.pixels.shape
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(decoded.pixels.data)
    return PictureFacts(height, width, digest.hexdigest(), decoded.format, decoded.notes)


def _refuse_errors(paths: Sequence[Path], found: Sequence[object]) -> None:
    faults: list[Fault] = [
        error.fault(str(path)) for path, error in zip(paths, found, strict=True) if isinstance(error, PictureError)
    ]
    if faults:
        raise DataError(f"{len(faults)} of {len(paths)} pictures cannot be read", faults)
