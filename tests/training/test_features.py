from __future__ import annotations

import errno
import json
import multiprocessing
import resource
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from fdsearch.errors import ResourceError, StorageError
from fdsearch.training import features, life
from fdsearch.training.features import PrefixCache

N = 10
SHAPES = {"block": (2, 2, 3), "features": (4,)}


def computed(layers, factor=1.0):
    for start in range(0, N, 4):
        rows = np.arange(start, min(start + 4, N), dtype=np.float32) * factor
        yield {
            name: np.broadcast_to(rows.reshape(-1, *[1] * len(SHAPES[name])), (len(rows), *SHAPES[name]))
            for name in layers
        }


@pytest.fixture
def cache(tmp_path):
    return PrefixCache(tmp_path / "prefix", {"pixels": "p", "weights": "w"}, "avg", N)


def never(layers):
    pytest.fail(f"computed {layers} again")


def test_activations_are_computed_once_in_one_pass(cache):
    passes = []

    def compute(layers):
        passes.append(list(layers))
        return computed(layers)

    first = cache.activations(SHAPES, compute)
    second = cache.activations(SHAPES, never)
    assert passes == [["block", "features"]]
    for name, shape in SHAPES.items():
        assert second[name].shape == (N, *shape)
        assert second[name].dtype == np.float16
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_array_equal(second[name].reshape(N, -1)[:, 0], np.arange(N))


def test_only_the_missing_layer_is_computed(cache):
    cache.activations({"features": SHAPES["features"]}, computed)
    asked = []
    cache.activations(SHAPES, lambda layers: asked.extend(layers) or computed(layers))
    assert asked == ["block"]


def test_a_pass_stores_what_others_may_ask_for(cache):
    cache.activations({"features": (4,)}, computed, also=lambda: SHAPES)
    cache.activations(SHAPES, never, also=lambda: pytest.fail("nothing is missing"))


def test_what_nobody_asked_for_takes_a_share_of_the_room_the_first_first(cache, monkeypatch):
    monkeypatch.setattr(features, "SPARE", 1.0)
    size = cache._size(SHAPES["features"])
    cache.activations({"block": SHAPES["block"]}, computed)
    held = cache.path("block").stat().st_size
    monkeypatch.setenv("FDSEARCH_CACHE_GB", str((held + 2 * size) / 10**9))
    shapes = {"features": (4,), "second": (4,), "third": (4,)}
    asked = []

    def compute(layers):
        asked.extend(layers)
        rows = np.arange(N, dtype=np.float32)
        yield {layer: np.broadcast_to(rows[:, None], (N, 4)) for layer in layers}

    cache.activations({"features": (4,)}, compute, also=lambda: shapes)
    assert asked == ["features", "second"]
    assert cache.path("block").exists()


@pytest.mark.parametrize("change", [{"pixels": "other"}, {"weights": "other"}])
def test_other_pictures_or_weights_have_other_files(cache, tmp_path, change):
    other = PrefixCache(tmp_path / "prefix", {"pixels": "p", "weights": "w", **change}, "avg", N)
    assert other.path("features") != cache.path("features")


def test_pooling_names_the_features_alone(cache, tmp_path):
    other = PrefixCache(tmp_path / "prefix", {"pixels": "p", "weights": "w"}, "max", N)
    assert other.path("features") != cache.path("features")
    assert other.path("block") == cache.path("block")


def test_each_view_of_the_pictures_is_computed_once_and_kept_apart(cache):
    shapes = {"block": SHAPES["block"]}
    for number in (1, 2):
        cache.activations(shapes, lambda layers, number=number: computed(layers, factor=number), view={"view": number})
    for number in (1, 2):
        stored = cache.activations(shapes, never, view={"view": number})["block"]
        np.testing.assert_array_equal(stored[:, 0, 0, 0], number * np.arange(N))
    assert cache.path("block") not in {cache.path("block", {"view": 1}), cache.path("block", {"view": 2})}


@pytest.mark.parametrize("part", ["keras", "tensorflow", "models"])
def test_other_code_has_other_files(cache, monkeypatch, part):
    before, code = cache.path("block"), features.code()
    assert len(code[part]) > 0
    monkeypatch.setattr(features, "code", lambda: code | {part: "other"})
    assert cache.path("block") != before


def test_an_array_says_what_it_is(tmp_path):
    identity = {"pixels": "0a1b-224-pad", "backbone": "lite0", "weights": "w"}
    cache = PrefixCache(tmp_path, identity, "avg", N)
    cache.activations(SHAPES, computed, view={"strength": 0.5})
    said = json.loads(cache.path("features", {"strength": 0.5}).with_suffix(".json").read_text())
    expected = {"size": 224, "resize": "pad", "cut": "features", "pooling": "avg", "view": {"strength": 0.5}}
    assert said.items() >= (identity | expected).items()
    assert said["bytes"] == cache.path("features", {"strength": 0.5}).stat().st_size
    assert json.loads(cache.path("block", {"strength": 0.5}).with_suffix(".json").read_text())["pooling"] is None


@pytest.mark.parametrize("damage", ["short", "long", "empty", "no header", "other shape", "absent", "foreign", "list"])
def test_a_torn_file_is_rebuilt(cache, damage):
    cache.activations(SHAPES, computed)
    path = cache.path("block")
    content = path.read_bytes()
    if damage == "absent":
        path.unlink()
    elif damage == "other shape":
        np.save(path, np.zeros((3, 3), np.float16))
    elif damage == "foreign":
        np.save(path, np.zeros((N, *SHAPES["block"]), np.float16))
        path.with_suffix(".json").unlink()
    elif damage == "list":
        np.save(path, np.zeros((N, *SHAPES["block"]), np.float16))
        path.with_suffix(".json").write_text("[]")
    else:
        wrong = {"short": content[:-5], "long": content + b"x", "empty": b"", "no header": b"x" * len(content)}
        path.write_bytes(wrong[damage])
    rebuilt = cache.activations(SHAPES, computed)["block"]
    np.testing.assert_array_equal(rebuilt[:, 0, 0, 0], np.arange(N))


def test_values_beyond_float16_are_cut_off_not_infinite(cache):
    values = cache.activations(SHAPES, lambda layers: computed(layers, factor=1e6))["features"]
    assert np.isfinite(values).all()


def test_a_failed_computation_leaves_nothing_behind(cache):
    def compute(layers):
        yield from list(computed(layers))[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.activations(SHAPES, compute)
    assert {path.suffix for path in cache.path("block").parent.iterdir()} == {".lock"}
    cache.activations(SHAPES, computed)


@contextmanager
def files_end_at(size):
    """The kernel refuses to let a file of this process grow beyond some bytes, as a full disk would.

    Lifted before the test ends: what pytest then says may go to a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_found_before_anything_is_computed(cache):
    with files_end_at(100), pytest.raises(ResourceError, match="disk is full") as caught:
        cache.activations(SHAPES, never)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert {path.suffix for path in cache.path("block").parent.iterdir()} == {".lock"}


def test_a_disk_that_is_full_halfway_leaves_nothing_behind(cache):
    with ExitStack() as limit:

        def compute(layers):
            yield from computed(layers)
            limit.enter_context(files_end_at(100))
            for _ in range(2):  # more than any buffer holds
                yield {layer: np.zeros((10**5, *SHAPES[layer])) for layer in layers}

        with pytest.raises(ResourceError, match="disk is full"):
            cache.activations(SHAPES, compute)
    assert {path.suffix for path in cache.path("block").parent.iterdir()} == {".lock"}


def test_an_array_is_a_map_that_names_its_file(cache):
    """`resident` keeps arrays on the device by that name."""
    array = cache.activations(SHAPES, computed)["block"]
    assert (type(array), str(array.filename), array.mode) == (np.memmap, str(cache.path("block")), "r")


def test_rows_that_were_not_computed_are_not_stored_as_zeros(cache):
    with pytest.raises(ValueError, match="bytes computed"):
        cache.activations(SHAPES, lambda layers: list(computed(layers))[:-1])
    assert not list(cache.path("block").parent.glob("*.npy"))


def test_a_folder_that_cannot_be_used_is_a_storage_error(tmp_path):
    (tmp_path / "prefix").write_text("a file")
    with pytest.raises(StorageError):
        PrefixCache(tmp_path / "prefix", {}, "avg", N).activations(SHAPES, never)


def _compute_until(folder, begun, go_on):
    def compute(layers):
        begun.set()
        go_on.wait(30)
        return computed(layers)

    PrefixCache(folder, {}, "avg", N).activations(SHAPES, compute)


def test_who_waits_for_another_pass_can_be_asked_to_stop(tmp_path):
    context = multiprocessing.get_context("fork")
    begun, go_on = context.Event(), context.Event()
    writer = context.Process(target=_compute_until, args=(tmp_path, begun, go_on))
    writer.start()
    try:
        assert begun.wait(30)
        with life.heard_by(lambda: False), pytest.raises(life.Stopped):
            PrefixCache(tmp_path, {}, "avg", N).activations(SHAPES, never)
    finally:
        go_on.set()
        writer.join(30)
    assert writer.exitcode == 0
    PrefixCache(tmp_path, {}, "avg", N).activations(SHAPES, never)


def _build(folder, counter):
    cache = PrefixCache(folder, {"pixels": "p"}, "avg", N)

    def compute(layers):
        with counter.get_lock():
            counter.value += 1
        return computed(layers)

    cache.activations(SHAPES, compute)


def test_processes_that_need_the_same_file_compute_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    counter = context.Value("i", 0)
    workers = [context.Process(target=_build, args=(tmp_path / "prefix", counter)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert counter.value == 1
