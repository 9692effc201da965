"""Disks that are full or cannot be written."""

from __future__ import annotations

import errno
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from search_bench import POINTS
from search_checks import ONCE, calls_per_fold, check

from fdsearch.errors import FdsearchError, ResourceError, StorageError
from fdsearch.search.ownership import own_study
from fdsearch.search.storage import open_storage
from fdsearch.search.study import ATTEMPT, FAILURE


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Mounts something on a folder until the test ends."""
    with ExitStack() as mounted:

        def now(folder: Path, *options: str) -> None:
            done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"needs the right to mount file systems: {done.stderr.strip()}")
            if not any("remount" in option for option in options):
                # Lazily: an engine that failed may still hold the file open.
                mounted.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)

        yield now


@pytest.fixture
def small_disk(tmp_path: Path, mount: Callable[..., None]) -> Path:
    """A file system of 1 MiB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount(folder, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    return folder


def fill(folder: Path) -> None:
    """Use up all room."""
    handle = os.open(folder / "ballast", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (1 << 16, 1 << 12, 1):
            while True:
                os.write(handle, b"x" * size)
                if size == 1:
                    return
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(handle)


@pytest.mark.parametrize("place", ["study.db", "trials", "spool"])
def test_a_disk_that_fills_up_loses_and_repeats_nothing(bench: Any, small_disk: Path, place: str) -> None:
    target = small_disk / place
    if place != "study.db":
        target.mkdir()
    (bench.folder / place).symlink_to(target)

    def fill_after_the_first(loop: Any) -> None:
        if loop.ledger.n_finished == 1 and loop.running:
            fill(small_disk)

    with pytest.raises(ResourceError, match="disk is full") as caught:
        bench.search(bench.small_task(), POINTS, on_change=fill_after_the_first)
    assert caught.value.exit_code == 7
    assert place in caught.value.faults[0].where
    for _ in range(5):  # as often as somebody tries in vain: that is no failure of the trial's
        with pytest.raises(ResourceError, match="disk is full"):
            bench.search(bench.small_task(), POINTS, on_change=lambda loop: fill(small_disk))
    (small_disk / "ballast").unlink()
    study = bench.search(bench.small_task(), POINTS)
    check(bench, study, kills=6)
    again = calls_per_fold(bench, study) - Counter(ONCE)
    assert all(quality != 0.5 for quality, _ in again), "a finished trial was trained again"


@pytest.mark.parametrize(("failure", "said"), [("disk_full", "disk is full"), ("no_device", "GPU cannot be used")])
def test_a_machine_that_fails_a_worker_ends_the_search_and_fails_no_trial(bench: Any, failure: str, said: str) -> None:
    with pytest.raises(ResourceError, match=said) as caught:
        bench.search(bench.small_task(failure), POINTS)
    assert caught.value.faults[0].got == f"the words of {failure}"
    [first, *_, last] = bench.study().trials
    assert (first.state.name, first.user_attrs[FAILURE]) == ("FAIL", "interrupted")
    assert (last.state.name, last.user_attrs[ATTEMPT]) == ("WAITING", 1)
    (bench.folder / "mended").touch()
    check(bench, bench.search(bench.small_task(failure), POINTS), kills=1)


def test_a_full_disk_under_the_lock_is_named(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(ResourceError, match="disk is full"), own_study(small_disk / "run"):
        pass


@pytest.mark.parametrize("what", ["folder", "database"])
def test_what_cannot_be_written_is_refused_before_anything_is_trained(
    bench: Any, mount: Callable[..., None], what: str
) -> None:
    if what == "database":
        bench.study()
        before = (bench.folder / "study.db").read_bytes()
    mount(bench.folder, "--bind", str(bench.folder))
    mount(bench.folder, "-o", "remount,ro,bind")
    with pytest.raises(StorageError) as caught, own_study(bench.folder):
        pass
    assert str(bench.folder) in caught.value.faults[0].where
    with pytest.raises(FdsearchError) as refused:
        bench.search(bench.small_task(), POINTS)
    assert refused.value.exit_code == 4
    assert not (bench.folder / "calls.txt").exists()
    if what == "database":
        assert (bench.folder / "study.db").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root; the read-only mount is its case")
def test_a_database_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    open_storage(tmp_path / "study.db").engine.dispose()
    (tmp_path / "study.db").chmod(0o440)
    with pytest.raises(StorageError):
        open_storage(tmp_path / "study.db")


def test_the_database_is_nobody_else_s_whatever_the_umask(bench: Any) -> None:
    before = os.umask(0)
    try:
        bench.search(bench.small_task(), POINTS[:1])
    finally:
        os.umask(before)
    assert (bench.folder / "study.db").stat().st_mode & 0o777 == 0o640
