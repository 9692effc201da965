"""The pixel store: whole files or none, nothing opened twice, every fault listed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsearch import imaging
from fdsearch.data.images import Picture, PixelStore
from fdsearch.errors import DataError, StorageError
from fdsearch.files import digest_file
from fdsearch.imaging import PictureError
from fdsearch.progress import Silent

SIZES = [(8, "stretch"), (16, "pad")]


@pytest.fixture
def store(tmp_path: Path) -> PixelStore:
    return PixelStore(tmp_path / "cache")


@pytest.fixture
def paths(tmp_path: Path, picture: Any) -> list[Path]:
    found = [picture(tmp_path / f"{number}.png", number) for number in range(5)]
    settle(*found)
    return found


ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from fdsearch.data.images import PixelStore
from fdsearch.errors import ResourceError
from fdsearch.files import digest_file
from fdsearch.progress import Silent

store, paths = PixelStore(Path(sys.argv[1])), [Path(name) for name in sys.argv[2:]]
content = tuple(digest_file(path) for path in paths)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    store.decode(paths, content, [(16, "stretch"), (24, "pad")], Silent())
except ResourceError as error:
    sys.exit(error.exit_code)
"""
"""No file of this process may grow beyond 300 bytes: a limit of the operating system, met by real writes. In a process
of its own, because the limit would hold for the test runner's log as well."""


def settle(*paths: Path) -> None:
    """Date files back, so that their time stamps are believed."""
    for path in paths:
        os.utime(path, (1_700_000_000, 1_700_000_000))


def decode(store: PixelStore, paths: list[Path], sizes: Any = SIZES) -> dict[tuple[int, str], Path]:
    return store.decode(paths, store.hash_files(paths), sizes, Silent())


def test_pixels_are_those_of_the_decoder(store: PixelStore, paths: list[Path]) -> None:
    files = decode(store, paths)
    assert list(files) == SIZES
    for (size, policy), file in files.items():
        pixels = np.load(file, mmap_mode="r")
        assert pixels.shape == (5, size, size, 1) and pixels.dtype == np.uint8
        for row, path in enumerate(paths):
            np.testing.assert_array_equal(pixels[row], imaging.load(path, size, policy))


def test_nothing_temporary_is_left_and_strangers_cannot_read(store: PixelStore, paths: list[Path]) -> None:
    decode(store, paths)
    assert sorted(path.suffix for path in store.folder.iterdir()) == [".json", ".npy", ".npy"]
    assert all(path.stat().st_mode & 0o007 == 0 for path in store.folder.iterdir())


def test_more_pictures_than_a_batch_stay_in_order(store: PixelStore, tmp_path: Path, picture: Any) -> None:
    paths = [picture(tmp_path / f"{number}.png", number % 7) for number in range(300)]
    pixels = np.load(decode(store, paths, [(4, "stretch")])[4, "stretch"])
    for row in (0, 255, 256, 299):
        np.testing.assert_array_equal(pixels[row], pixels[row % 7])
    assert len(np.unique(pixels.reshape(300, -1), axis=0)) == 7


def test_whole_files_are_used_again_without_the_pictures(store: PixelStore, paths: list[Path]) -> None:
    content = store.hash_files(paths)
    first = store.decode(paths, content, SIZES, Silent())
    for path in paths:
        path.unlink()
    assert store.decode(paths, content, SIZES, Silent()) == first


def test_only_the_missing_size_is_written(store: PixelStore, paths: list[Path]) -> None:
    first = decode(store, paths, SIZES[:1])[SIZES[0]]
    before = first.stat().st_mtime_ns
    assert set(decode(store, paths)) == set(SIZES)
    assert first.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["cut", "empty", "grown", "other shape", "text"])
def test_a_damaged_file_is_rebuilt(store: PixelStore, paths: list[Path], damage: str) -> None:
    file = decode(store, paths)[SIZES[0]]
    whole = file.read_bytes()
    damaged = {"cut": whole[:-1], "empty": b"", "grown": whole + b"\0", "text": b"x" * len(whole)}
    if damage == "other shape":
        np.save(file, np.zeros((5, 4, 16, 1), np.uint8))
    else:
        file.write_bytes(damaged[damage])
    assert decode(store, paths)[SIZES[0]].read_bytes() == whole


def test_order_content_size_and_policy_name_different_files(store: PixelStore, paths: list[Path]) -> None:
    files = {
        *decode(store, paths, [(8, "stretch"), (8, "pad"), (9, "pad")]).values(),
        *decode(store, paths[::-1], [(8, "stretch")]).values(),
        *decode(store, paths[:4], [(8, "stretch")]).values(),
    }
    assert len(files) == 5


def test_pictures_that_vanish_or_change_are_all_listed(store: PixelStore, paths: list[Path], picture: Any) -> None:
    content = store.hash_files(paths)
    paths[1].unlink()
    picture(paths[3], 99)
    with pytest.raises(DataError) as caught:
        store.decode(paths, content, SIZES, Silent())
    assert [fault.where for fault in caught.value.faults] == [str(paths[1]), str(paths[3])]
    assert not list(store.folder.glob("*.npy")) and not list(store.folder.glob(".*"))


def test_hashes_are_those_of_the_bytes(store: PixelStore, paths: list[Path]) -> None:
    assert store.hash_files(paths) == tuple(digest_file(path) for path in paths)


def test_an_unchanged_file_is_not_opened_again(store: PixelStore, paths: list[Path], tmp_path: Path) -> None:
    """Same size and time, other bytes: only a store that does not open the file gives the old answer."""
    before, examined = store.hash_files(paths), store.examine(paths)
    paths[0].write_bytes(b"\0" * paths[0].stat().st_size)
    settle(paths[0])
    assert PixelStore(store.folder).hash_files(paths) == before
    assert PixelStore(store.folder).examine(paths) == examined


@pytest.mark.parametrize("change", ["time", "size"])
def test_a_changed_file_is_hashed_again(store: PixelStore, paths: list[Path], change: str) -> None:
    before = store.hash_files(paths)
    content = paths[0].read_bytes()
    paths[0].write_bytes(content[:-1] + b"?" if change == "time" else content + b"?")
    os.utime(paths[0], (1_700_000_000, 1_700_000_000 + (change == "time")))
    after = store.hash_files(paths)
    assert after[0] == digest_file(paths[0]) != before[0]
    assert after[1:] == before[1:]


def test_a_file_of_this_very_moment_is_not_trusted(store: PixelStore, tmp_path: Path, picture: Any) -> None:
    """On a coarse clock two writes share a time stamp: the second, of the same size, must be noticed."""
    path = picture(tmp_path / "new.png")
    status = path.stat()
    first = store.hash_files([path])
    path.write_bytes(b"\0" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.hash_files([path]) != first


@pytest.mark.parametrize(
    "torn", [b"", b"{", b"[]", b'{"files": {"a": [1]}}', b"\xff\xfe", b'{"files": 3, "decoder": "1"}']
)
def test_a_torn_index_is_rebuilt(store: PixelStore, paths: list[Path], torn: bytes) -> None:
    examined = store.examine(paths)
    index = store.folder / "files.json"
    whole = index.read_bytes()
    index.write_bytes(torn)
    assert store.examine(paths) == examined
    assert json.loads(index.read_bytes()) == json.loads(whole)


def test_facts_of_another_decoder_are_forgotten(store: PixelStore, paths: list[Path]) -> None:
    store.examine(paths)
    index = store.folder / "files.json"
    value = json.loads(index.read_bytes())
    value["decoder"] = "0"
    for facts in value["facts"].values():
        facts[0] = 12345
    index.write_text(json.dumps(value))
    assert all(isinstance(found, Picture) and found.facts.height == 9 for found in store.examine(paths))


def test_examining_tells_pictures_from_other_files(store: PixelStore, paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    found = store.examine([paths[0], tmp_path / "text.png", tmp_path / "absent.png", paths[1]])
    assert [type(item) for item in found] == [Picture, PictureError, PictureError, Picture]
    assert isinstance(found[0], Picture) and found[0].content == digest_file(paths[0])
    assert (found[0].facts.height, found[0].facts.width, found[0].facts.format) == (9, 12, "PNG")


def test_hashing_lists_every_unreadable_file(store: PixelStore, paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 of 3") as caught:
        store.hash_files([paths[0], tmp_path / "a", tmp_path / "b"])
    assert len(caught.value.faults) == 2


def test_a_full_disk_is_a_lack_of_resources(store: PixelStore, paths: list[Path]) -> None:
    command = [sys.executable, "-c", ON_A_FULL_DISK, str(store.folder), *map(str, paths)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 7, answer.stderr
    assert list(store.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_fault_of_storage(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(StorageError) as caught:
            decode(PixelStore(folder), paths)
        assert caught.value.exit_code == 4


def test_debris_of_killed_writers_is_swept_but_not_the_work_of_living_ones(
    store: PixelStore, paths: list[Path]
) -> None:
    store.folder.mkdir()
    old, new = store.folder / ".pixels-old.tmp", store.folder / ".pixels-new.tmp"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    settle(old)
    decode(store, paths)
    assert not old.exists() and new.exists()


def test_no_pictures_make_an_empty_file(store: PixelStore) -> None:
    assert np.load(store.decode([], [], [(8, "stretch")], Silent())[8, "stretch"]).shape == (0, 8, 8, 1)


def test_two_parents_may_fill_the_store_at_once(store: PixelStore, paths: list[Path]) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: decode(PixelStore(store.folder), paths), range(2))
    assert first == second
    assert np.load(first[SIZES[0]]).shape == (5, 8, 8, 1)
    assert not list(store.folder.glob(".*"))


def test_progress_reaches_its_end(store: PixelStore, paths: list[Path]) -> None:
    class Counter(Silent):
        def __init__(self) -> None:
            self.seen: list[tuple[str, int, int]] = []

        def track(self, task: str, done: int, total: int) -> None:
            self.seen.append((task, done, total))

    progress = Counter()
    store.examine(paths, progress)
    store.decode(paths, store.hash_files(paths), SIZES, progress)
    assert progress.seen == [("checking pictures", 5, 5), ("decoding pictures", 5, 5)]
