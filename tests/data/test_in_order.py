"""Pictures over threads: the same results in the same order however many there are, and no thread outlives the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsearch.data.images import PixelStore
from fdsearch.data.in_order import AHEAD, CHUNK, in_order, n_processors
from fdsearch.errors import DataError
from fdsearch.files import digest_file
from fdsearch.imaging import PictureError, squares
from fdsearch.progress import Silent

THREADS = (1, 2, 5)
SIZES = [(8, "stretch"), (13, "pad"), (11, "crop")]


def threads_of_pictures() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pictures")]


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("n", [0, 1, CHUNK, CHUNK + 1, AHEAD * CHUNK, 10 * AHEAD * CHUNK + 3])
def test_results_come_in_the_order_of_the_items(n: int, n_threads: int) -> None:
    def slowly(item: int) -> int:
        time.sleep(0.001 if item % 17 == 0 else 0)  # so that later chunks are done before earlier ones
        return -item

    assert list(in_order(slowly, range(n), "test", Silent(), n_threads)) == [-item for item in range(n)]
    assert not threads_of_pictures()


def test_progress_counts_up_to_the_end() -> None:
    class Counter(Silent):
        def __init__(self) -> None:
            self.seen: list[tuple[str, int, int]] = []

        def track(self, task: str, done: int, total: int) -> None:
            self.seen.append((task, done, total))

    counter, n = Counter(), 3 * CHUNK + 5
    assert len(list(in_order(str, range(n), "test", counter, 2))) == n
    assert counter.seen == [("test", min(done, n), n) for done in range(CHUNK, n + CHUNK, CHUNK)]


@pytest.mark.parametrize("n_threads", THREADS)
def test_an_error_is_raised_in_its_place_and_ends_the_threads(n_threads: int) -> None:
    n, bad, seen = 100 * CHUNK, 2 * CHUNK + 3, []

    def fail(item: int) -> int:
        seen.append(item)
        if item >= bad:
            raise ValueError(item)
        return item

    found: list[int] = []
    with pytest.raises(ValueError, match=f"^{bad}$"):
        found.extend(in_order(fail, range(n), "test", Silent(), n_threads))
    assert found == list(range(2 * CHUNK))  # the chunks before it
    assert not threads_of_pictures() and len(seen) < n


@pytest.mark.parametrize("n_threads", THREADS)
def test_what_is_not_taken_is_not_computed(n_threads: int) -> None:
    seen: list[int] = []
    results = in_order(seen.append, range(100 * AHEAD * CHUNK), "test", Silent(), n_threads)
    next(results)
    results.close()
    assert not threads_of_pictures() and 1 <= len(seen) <= AHEAD * n_threads * CHUNK


def test_pixels_are_identical_with_any_number_of_threads(tmp_path: Path, picture: Any) -> None:
    paths = [picture(tmp_path / f"{number}.png", number) for number in range(5 * CHUNK)]
    alone = [squares(path, SIZES) for path in paths]
    for n_threads in THREADS:
        together = list(in_order(lambda path: squares(path, SIZES), paths, "test", Silent(), n_threads))
        for one, other in zip(alone, together, strict=True):
            for left, right in zip(one, other, strict=True):
                np.testing.assert_array_equal(left, right)


ON_ONE_PROCESSOR = """
import os, sys
from pathlib import Path
from fdsearch.data.images import PixelStore
from fdsearch.data.in_order import n_processors
from fdsearch.progress import Silent

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
assert n_processors() == 1
store, paths = PixelStore(Path(sys.argv[1])), sorted(Path(sys.argv[2]).glob("*.png"))
store.decode(paths, store.hash_files(paths), [(8, "stretch"), (13, "pad")], Silent())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="binds a process to a processor")
def test_the_files_are_those_of_a_single_processor(tmp_path: Path, picture: Any) -> None:
    paths = sorted(picture(tmp_path / "in" / f"{number}.png", number) for number in range(3 * CHUNK))
    command = [sys.executable, "-c", ON_ONE_PROCESSOR, str(tmp_path / "one"), str(tmp_path / "in")]
    subprocess.run(command, check=True)
    store = PixelStore(tmp_path / "all")
    files = store.decode(paths, store.hash_files(paths), SIZES[:2], Silent())
    for file in files.values():
        assert file.read_bytes() == (tmp_path / "one" / file.name).read_bytes()


def test_faults_are_listed_in_the_order_of_the_pictures(tmp_path: Path, picture: Any) -> None:
    paths = [picture(tmp_path / f"{number}.png", number) for number in range(6 * CHUNK)]
    store = PixelStore(tmp_path / "cache")
    content = tuple(digest_file(path) for path in paths)
    broken = [0, 5, CHUNK, 3 * CHUNK - 1, 3 * CHUNK, 6 * CHUNK - 1]
    for place in broken:
        paths[place].unlink()
    wanted = [str(paths[place]) for place in broken]
    for _ in range(3):
        with pytest.raises(DataError) as caught:
            store.decode(paths, content, SIZES, Silent())
        assert [fault.where for fault in caught.value.faults] == wanted
        with pytest.raises(DataError) as caught:
            store.hash_files(paths)
        assert [fault.where for fault in caught.value.faults] == wanted
        examined = store.examine(paths)
        assert [place for place, found in enumerate(examined) if isinstance(found, PictureError)] == broken


INTERRUPTED = """
import signal, sys, threading
from pathlib import Path
from fdsearch.data.images import PixelStore
from fdsearch.files import digest_file
from fdsearch.progress import Silent

signal.signal(signal.SIGINT, signal.default_int_handler)

class Told(Silent):
    def track(self, task, done, total):
        print(done, flush=True)

store, paths = PixelStore(Path(sys.argv[1])), [Path(sys.argv[2])] * 100_000
try:
    store.decode(paths, [digest_file(paths[0])] * len(paths), [(512, "stretch")], Told())
except KeyboardInterrupt:
    sys.exit(3 if [t for t in threading.enumerate() if t.name.startswith("pictures")] else 130)
"""


def test_ctrl_c_ends_the_threads_and_leaves_nothing(tmp_path: Path, picture: Any) -> None:
    """As many pictures as take minutes; the interrupt comes once the first of them are decoded."""
    path, folder = picture(tmp_path / "one.png"), tmp_path / "cache"
    command = [sys.executable, "-c", INTERRUPTED, str(folder), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert [file.suffix for file in folder.iterdir()] == [".tmp"]
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 130
    assert list(folder.iterdir()) == []


def test_all_processors_are_used() -> None:
    assert 1 <= n_processors() <= (os.cpu_count() or 1)
