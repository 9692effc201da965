"""The prefix cache as a store that many processes share: room, use, and death at any moment."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fdsearch.training import eviction
from fdsearch.training.features import PrefixCache
from fdsearch.training.prefix_store import NoRoom, PrefixStore

N = 8
SHAPE = (1000,)
SIZE = 128 + 2 * N * 1000
"""Bytes of an entry."""
FORK = multiprocessing.get_context("fork")


def cache_of(folder: Path, network: str) -> PrefixCache:
    return PrefixCache(folder, {"network": network}, "avg", N)


def values(network: str, view: int = 0) -> NDArray[np.float32]:
    return np.full((N, *SHAPE), 10 * int(network) + view, np.float32)


def ask(folder: Path, network: str, view: int = 0) -> NDArray[np.float16]:
    """The activations of a network, computed if they are not stored."""

    def compute(layers: Sequence[str]) -> Iterable[dict[str, NDArray[np.float32]]]:
        return [{layer: values(network, view)[part : part + 4] for layer in layers} for part in (0, 4)]

    return cache_of(folder, network).activations({"block": SHAPE}, compute, {"view": view} if view else None)["block"]


def stored(folder: Path, networks: str = "123456789") -> str:
    return "".join(network for network in networks if cache_of(folder, network).path("block").exists())


def never(layers: Sequence[str]) -> Iterable[dict[str, NDArray[np.float32]]]:
    pytest.fail(f"computed {layers}")


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_to(entries: float) -> None:
        monkeypatch.setenv(eviction.ENVIRONMENT, str(entries * SIZE / 10**9))

    return set_to


def used_long_ago(folder: Path, network: str, age: float) -> None:
    path = cache_of(folder, network).path("block")
    os.utime(path, (path.stat().st_mtime - age,) * 2)


def test_the_least_recently_used_entry_makes_room(tmp_path: Path, budget: Any) -> None:
    budget(3)
    for age, network in ((30, "1"), (20, "2"), (10, "3")):
        ask(tmp_path, network)
        used_long_ago(tmp_path, network, age)
    np.testing.assert_array_equal(ask(tmp_path, "1"), values("1"))  # used again, so that the second is the oldest now
    ask(tmp_path, "4")
    assert stored(tmp_path) == "134"
    assert {path.stem for path in tmp_path.glob("*.json")} == {path.stem for path in tmp_path.glob("*.npy")}
    budget(1)
    ask(tmp_path, "5")
    assert stored(tmp_path) == "5"


def test_what_does_not_fit_at_all_costs_nothing(tmp_path: Path, budget: Any) -> None:
    budget(2)
    ask(tmp_path, "1")
    ask(tmp_path, "2")
    budget(0.9)
    other = cache_of(tmp_path, "3")
    assert not other.fits({"block": SHAPE})
    with pytest.raises(NoRoom, match="FDSEARCH_CACHE_GB") as caught:
        other.activations({"block": SHAPE}, never)
    assert caught.value.exit_code == 7
    assert stored(tmp_path) == "12"
    np.testing.assert_array_equal(ask(tmp_path, "1"), values("1"))  # what is stored can be read under any budget


def test_a_set_of_views_fits_only_together(tmp_path: Path, budget: Any) -> None:
    budget(3)
    views = [{"view": number} for number in range(1, 5)]
    cache = cache_of(tmp_path, "1")
    assert cache.fits({"block": SHAPE}, views[:3]) and not cache.fits({"block": SHAPE}, views)
    ask(tmp_path, "2")  # of another network: it may go
    ask(tmp_path, "1", view=1)  # stored already, and counted as held
    assert cache.fits({"block": SHAPE}, views[:3]) and not cache.fits({"block": SHAPE}, views)
    assert not cache.fits({"block": SHAPE, "features": SHAPE}, views[:2])


def test_the_disk_keeps_a_reserve(tmp_path: Path, budget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    budget(100)
    ask(tmp_path, "1")
    monkeypatch.setattr(eviction, "RESERVE_BYTES", 10**18)
    assert not cache_of(tmp_path, "2").fits({"block": SHAPE})
    assert cache_of(tmp_path, "1").fits({"block": SHAPE})
    with pytest.raises(NoRoom):
        cache_of(tmp_path, "2").activations({"block": SHAPE}, never)


def test_what_a_job_has_asked_for_stays_while_it_needs_it(tmp_path: Path, budget: Any) -> None:
    budget(2)
    first, second = ask(tmp_path, "1"), ask(tmp_path, "2")
    assert not cache_of(tmp_path, "3").fits({"block": SHAPE})
    with pytest.raises(NoRoom):
        cache_of(tmp_path, "3").activations({"block": SHAPE}, never)
    assert stored(tmp_path) == "12"
    del first
    ask(tmp_path, "3")
    assert stored(tmp_path) == "23"
    np.testing.assert_array_equal(second, values("2"))


def test_a_part_of_an_array_keeps_its_entry(tmp_path: Path, budget: Any) -> None:
    budget(1)
    part = ask(tmp_path, "1")[2:4]
    with pytest.raises(NoRoom):
        cache_of(tmp_path, "2").activations({"block": SHAPE}, never)
    np.testing.assert_array_equal(part, values("1")[2:4])


def _read_on(folder: Path, network: str, pipe: Any) -> None:
    array = ask(folder, network)
    pipe.send("open")
    pipe.recv()
    pipe.send(np.array_equal(array, values(network)))


def _reader(folder: Path, network: str) -> tuple[Any, Any]:
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_read_on, args=(folder, network, theirs))
    process.start()
    assert ours.poll(30) and ours.recv() == "open"
    return process, ours


def test_another_process_keeps_what_it_reads_until_it_dies(tmp_path: Path, budget: Any) -> None:
    budget(1)
    process, _ = _reader(tmp_path, "1")
    try:
        with pytest.raises(NoRoom):
            cache_of(tmp_path, "2").activations({"block": SHAPE}, never)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
    ask(tmp_path, "2")
    assert stored(tmp_path) == "2"


def test_a_reader_outlives_the_name_of_its_entry(tmp_path: Path) -> None:
    process, pipe = _reader(tmp_path, "1")
    cache_of(tmp_path, "1").path("block").unlink()
    ask(tmp_path, "1")
    pipe.send("go on")
    assert pipe.poll(30) and pipe.recv() is True
    process.join(30)


def _die_half_way(folder: Path, network: str) -> None:
    def compute(layers: Sequence[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
        yield {layer: values(network)[:4] for layer in layers}
        os.kill(os.getpid(), signal.SIGKILL)

    cache_of(folder, network).activations({"block": SHAPE}, compute)


@pytest.mark.parametrize("next_network", ["1", "2"])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, budget: Any, next_network: str) -> None:
    budget(1)
    writer = FORK.Process(target=_die_half_way, args=(tmp_path, "1"))
    writer.start()
    writer.join(30)
    assert writer.exitcode == -signal.SIGKILL
    assert PrefixStore(tmp_path).space().held == SIZE
    assert len(PrefixStore(tmp_path).unfinished()) == 1
    np.testing.assert_array_equal(ask(tmp_path, next_network), values(next_network))
    assert not list(tmp_path.glob("*.tmp"))
    assert stored(tmp_path) == next_network


def _die_at(folder: Path, network: str, moment: int) -> None:
    """Ask for a network, killed by itself just before a certain file gets or loses its name."""
    left = [moment]

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*arguments, **keywords)

        return call

    for name in ("replace", "unlink"):
        setattr(Path, name, counted(getattr(Path, name)))
    ask(folder, network)


@pytest.mark.parametrize("moment", range(7))
def test_death_between_two_files_leaves_nothing_that_lies(tmp_path: Path, budget: Any, moment: int) -> None:
    """Room is made for an entry, which is then written: array and description go, description and array come."""
    budget(1)
    ask(tmp_path, "1")
    writer = FORK.Process(target=_die_at, args=(tmp_path, "2", moment))
    writer.start()
    writer.join(30)
    assert writer.exitcode in (-signal.SIGKILL, 0)
    store = PrefixStore(tmp_path)
    for network in stored(tmp_path):
        array = store.open(cache_of(tmp_path, network).path("block").stem, (N, *SHAPE))
        assert array is not None
        np.testing.assert_array_equal(array, values(network))
        del array
    ask(tmp_path, "3")
    assert stored(tmp_path) == "3"
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json", ".lock"}
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_the_last_moments_of_the_test_above_lie_after_the_write(tmp_path: Path, budget: Any) -> None:
    budget(1)
    ask(tmp_path, "1")
    writer = FORK.Process(target=_die_at, args=(tmp_path, "2", 6))
    writer.start()
    writer.join(30)
    assert stored(tmp_path) == "2"


def _ask_at_random(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(12):
        network = draw.choice("123456789")
        if not np.array_equal(ask(folder, network), values(network)):
            os._exit(3)


def test_processes_that_evict_each_others_entries_all_get_their_own(tmp_path: Path, budget: Any) -> None:
    budget(5)
    workers = [FORK.Process(target=_ask_at_random, args=(tmp_path, seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    store = PrefixStore(tmp_path)
    assert store.space().held <= 5 * SIZE
    assert not store.unfinished()
    assert not any(entry.in_use for entry in store.entries())


def test_arrays_of_an_earlier_format_go_like_any_other(tmp_path: Path, budget: Any) -> None:
    budget(1)
    old = tmp_path / f"{'0a' * 20}.npy"
    np.save(old, np.zeros(10, np.float16))
    (tmp_path / f"{'0b' * 20}.lock").touch()
    (tmp_path / f"{'0c' * 20}.tmp").touch()
    os.utime(old, (0, 0))
    ask(tmp_path, "1")
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json", ".lock"}
    assert not old.exists() and len(list(tmp_path.glob("*.lock"))) == 2
