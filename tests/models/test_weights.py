"""Weights are the published ones, in the right layers, or an error that says what to do."""

from __future__ import annotations

import hashlib
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import keras
import numpy as np
import pytest

from fdsearch.errors import ConfigError, IntegrityError, ResourceError, StorageError
from fdsearch.models.builders import BUILDERS, build_model
from fdsearch.models.weights import available, fetch, load_weights, weights_digest
from fdsearch.models.weights_files import WEIGHTS_FILES, WeightsFile, locate
from fdsearch.trial import TrialConfig

LITE0 = "efficientnet_lite0"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without weights but those of the package."""
    monkeypatch.delenv("FDSEARCH_WEIGHTS", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    return tmp_path


def test_every_weights_file_belongs_to_an_architecture_and_has_a_source():
    assert set(WEIGHTS_FILES) <= set(BUILDERS)
    for file in WEIGHTS_FILES.values():
        assert (file.url is None) != (file.package is None)
        algorithm, digits = file.digest.split(":")
        assert len(digits) == 2 * hashlib.new(algorithm).digest_size


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (LITE0, ("imagenet", "random")),
        ("inception_v3", ("random",)),
        ("s_cnn_01", ("random",)),
        ("a_plugin", ("random",)),
    ],
)
@pytest.mark.usefixtures("bare")
def test_available_tells_what_a_model_can_start_from(name, expected):
    assert available(name) == expected


def test_places_are_searched_in_order(bare, monkeypatch):
    name = WEIGHTS_FILES["inception_v3"].name
    cached = bare / "keras" / "models" / name
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert locate("inception_v3") == cached
    installed = bare / "environment" / "share" / "fdsearch" / "weights" / name
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert locate("inception_v3") == installed
    own = bare / "own"
    monkeypatch.setenv("FDSEARCH_WEIGHTS", str(own))
    assert locate("inception_v3") == installed
    own.mkdir()
    (own / name).touch()
    assert locate("inception_v3") == own / name


@pytest.mark.usefixtures("bare")
def test_missing_weights_name_both_remedies_and_are_never_replaced_by_random_ones():
    config = TrialConfig.from_params({"backbone": "mobilenet_v3_small", "image_size": 32})
    with pytest.raises(ResourceError) as caught:
        build_model(config, 3)
    assert "fdsearch models fetch mobilenet_v3_small" in str(caught.value)
    assert "FDSEARCH_WEIGHTS" in str(caught.value)


def test_a_changed_byte_is_refused_before_the_file_is_parsed(bare, monkeypatch):
    content = bytearray(locate(LITE0).read_bytes())
    content[len(content) // 2] ^= 1
    (bare / WEIGHTS_FILES[LITE0].name).write_bytes(content)
    monkeypatch.setenv("FDSEARCH_WEIGHTS", str(bare))
    with pytest.raises(IntegrityError, match="a weights file is not the published one"):
        build_model(TrialConfig.from_params({"image_size": 32}), 3)


def test_random_is_random_and_imagenet_is_not():
    models = [
        build_model(TrialConfig.from_params({"image_size": 32, "weights": kind}), 3) for kind in ("imagenet", "random")
    ]
    pretrained, random = (model.get_layer("stem_conv").kernel for model in models)
    assert not np.allclose(pretrained, random)
    load_weights(models[1], LITE0)
    np.testing.assert_array_equal(pretrained, models[1].get_layer("stem_conv").kernel)


def test_digests_name_fixed_weights_only():
    assert weights_digest(LITE0, "imagenet") == WEIGHTS_FILES[LITE0].digest
    assert weights_digest(LITE0, "random") is None
    assert weights_digest("s_cnn_01", "imagenet") is None


@pytest.mark.parametrize(
    ("name", "application", "prepare"),
    [
        ("mobilenet_v3_small", "MobileNetV3Small", None),
        pytest.param("inception_v3", "InceptionV3", "inception_v3", marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_large", "MobileNetV3Large", None, marks=pytest.mark.slow),
        pytest.param("efficientnet_v2s", "EfficientNetV2S", None, marks=pytest.mark.slow),
        pytest.param("convnext_tiny", "ConvNeXtTiny", None, marks=pytest.mark.slow),
    ],
)
def test_a_keras_file_gives_the_features_keras_itself_would(
    name, application, prepare, smallest, tmp_path, monkeypatch
):
    """Preprocessing, order of layers and file format at once; random numbers stand in for the published ones."""
    config = smallest(name)
    size = config.image_size
    stock = getattr(keras.applications, application)(
        include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg"
    )
    _use_as_published(monkeypatch, tmp_path, name, lambda path: stock.save(path))
    gray = np.random.default_rng(0).integers(0, 256, (2, size, size, 1), dtype=np.uint8)
    colour = np.repeat(gray, 3, axis=3).astype(np.float32)
    if prepare:
        colour = getattr(keras.applications, prepare).preprocess_input(colour)
    model = build_model(TrialConfig.from_params({"backbone": name, "image_size": size}), 3)
    features = keras.Model(model.inputs[0], model.get_layer("features").output)(gray)
    # ConvNeXt normalises after pooling where it pools itself, so its maps are compared before.
    expected = stock(colour) if name != "convnext_tiny" else _pooled_maps(stock, keras.applications, size, colour)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def _pooled_maps(stock, applications, size, colour):
    maps = applications.ConvNeXtTiny(include_top=False, weights=None, input_shape=(size, size, 3))
    maps.set_weights(stock.get_weights())
    return np.asarray(maps(colour)).mean(axis=(1, 2))


def _use_as_published(monkeypatch, folder, name, write):
    """Make a file that a test writes the published weights of an architecture."""
    path = folder / "published" / WEIGHTS_FILES[name].name
    path.parent.mkdir()
    write(path)
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    monkeypatch.setitem(WEIGHTS_FILES, name, WeightsFile(path.name, digest, url="http://localhost/none"))
    monkeypatch.setenv("FDSEARCH_WEIGHTS", str(path.parent))


class TestFetch:
    @pytest.fixture
    def published(self, bare, monkeypatch):
        """A local server that publishes a file as the weights of MobileNetV3-Small."""
        folder = bare / "server"
        folder.mkdir()
        (folder / "small.h5").write_bytes(b"weights")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        file = WeightsFile(
            "small.h5",
            f"sha256:{hashlib.sha256(b'weights').hexdigest()}",
            f"http://127.0.0.1:{server.server_port}/small.h5",
        )
        monkeypatch.setitem(WEIGHTS_FILES, "mobilenet_v3_small", file)
        yield folder / "small.h5"
        server.shutdown()
        thread.join()
        server.server_close()

    @pytest.mark.usefixtures("published")
    def test_a_file_is_downloaded_checked_and_then_found(self, tmp_path, monkeypatch):
        path = fetch("mobilenet_v3_small", tmp_path / "to")
        assert (path, path.read_bytes()) == (tmp_path / "to" / "small.h5", b"weights")
        monkeypatch.setenv("FDSEARCH_WEIGHTS", str(tmp_path / "to"))
        assert available("mobilenet_v3_small") == ("imagenet", "random")
        assert fetch("mobilenet_v3_small", tmp_path / "to") == path

    def test_other_bytes_are_refused_and_removed(self, published, tmp_path):
        published.write_bytes(b"a login page")
        with pytest.raises(IntegrityError, match="not the published file"):
            fetch("mobilenet_v3_small", tmp_path / "to")
        assert list((tmp_path / "to").iterdir()) == []

    def test_no_answer_names_the_way_without_a_network(self, published, tmp_path):
        published.unlink()
        with pytest.raises(ResourceError, match="--from DIR"):
            fetch("mobilenet_v3_small", tmp_path / "to")

    @pytest.mark.usefixtures("bare")
    def test_weights_of_the_package_are_copied(self, tmp_path):
        path = fetch(LITE0, tmp_path / "to")
        assert path.read_bytes() == locate(LITE0).read_bytes()

    @pytest.mark.usefixtures("bare")
    def test_a_folder_that_was_brought_is_asked_alone(self, published, tmp_path):
        brought = fetch("mobilenet_v3_small", tmp_path / "brought")
        published.unlink()
        path = fetch("mobilenet_v3_small", tmp_path / "to", from_folder=tmp_path / "brought")
        assert path.read_bytes() == brought.read_bytes()
        assert fetch("mobilenet_v3_small", tmp_path / "to", from_folder=tmp_path / "to") == path
        published.write_bytes(b"weights")
        (tmp_path / "empty").mkdir()
        for name in ("mobilenet_v3_small", LITE0):
            with pytest.raises(ResourceError, match="does not hold the weights"):
                fetch(name, tmp_path / "other", from_folder=tmp_path / "empty")
        with pytest.raises(ConfigError, match="--from"):
            fetch(LITE0, tmp_path / "other", from_folder=tmp_path / "absent")

    def test_other_bytes_in_a_folder_replace_nothing(self, published, tmp_path):
        good = fetch("mobilenet_v3_small", tmp_path / "to")
        (tmp_path / "brought").mkdir()
        (tmp_path / "brought" / "small.h5").write_bytes(b"Weights")
        with pytest.raises(IntegrityError, match="not the published one"):
            fetch("mobilenet_v3_small", tmp_path / "to", from_folder=tmp_path / "brought")
        assert good.read_bytes() == b"weights"

    @pytest.mark.usefixtures("published")
    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(StorageError):
            fetch("mobilenet_v3_small", tmp_path / "file" / "to")

    @pytest.mark.parametrize("name", ["s_cnn_01", "inception"])
    def test_an_architecture_without_weights_is_refused(self, name, tmp_path):
        with pytest.raises(ConfigError, match="there are no pretrained weights for"):
            fetch(name, tmp_path)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
