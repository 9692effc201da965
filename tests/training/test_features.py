from __future__ import annotations

import errno
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from fdsearch.errors import ResourceError
from fdsearch.training.features import MAX_PICTURE_BYTES, PrefixCache, affordable

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


@pytest.mark.parametrize("change", [{"pixels": "other"}, {"weights": "other"}])
def test_other_pictures_or_weights_have_other_files(cache, tmp_path, change):
    other = PrefixCache(tmp_path / "prefix", {"pixels": "p", "weights": "w", **change}, "avg", N)
    assert other.path("features") != cache.path("features")


def test_pooling_names_the_features_alone(cache, tmp_path):
    other = PrefixCache(tmp_path / "prefix", {"pixels": "p", "weights": "w"}, "max", N)
    assert other.path("features") != cache.path("features")
    assert other.path("block") == cache.path("block")


@pytest.mark.parametrize("damage", ["short", "empty", "no header", "other shape", "absent"])
def test_a_torn_file_is_rebuilt(cache, damage):
    cache.activations(SHAPES, computed)
    path = cache.path("block")
    content = path.read_bytes()
    if damage == "absent":
        path.unlink()
    elif damage == "other shape":
        np.save(path, np.zeros((3, 3), np.float16))
    else:
        path.write_bytes({"short": content[:-5], "empty": b"", "no header": b"x" * len(content)}[damage])
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_resource_error(cache, tmp_path):
    (tmp_path / "prefix").mkdir()
    for name in SHAPES:
        cache.path(name).with_suffix(".tmp").symlink_to("/dev/full")
    with pytest.raises(ResourceError, match="disk is full") as caught:
        cache.activations(SHAPES, computed)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert not list((tmp_path / "prefix").glob("*.npy"))


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


@pytest.mark.parametrize(
    ("shape", "n", "expected"),
    [((MAX_PICTURE_BYTES // 2,), 10, True), ((MAX_PICTURE_BYTES // 2 + 1,), 10, False), ((14, 14, 672), 20_000, False)],
)
def test_what_is_affordable(shape, n, expected):
    assert affordable(shape, n) is expected
