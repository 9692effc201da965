"""Every architecture keeps the contract; plugins join, fail and are taken back as promised."""

from __future__ import annotations

import json
import zipfile

import keras
import numpy as np
import pytest

from fdsearch.errors import ConfigError
from fdsearch.layers import ALLOWED
from fdsearch.models.architectures import FACTS
from fdsearch.models.builders import BUILDERS, architectures, build_model, builder, count_parameters, load_plugins
from fdsearch.models.contract import contract_faults
from fdsearch.models.graph import cut_points
from fdsearch.models.losses import LOSSES
from fdsearch.models.weights_files import WEIGHTS_FILES
from fdsearch.parameters import FROM_SCRATCH, OWN_SIZES
from fdsearch.trial import TrialConfig

LARGE = ("efficientnet_v2s", "mobilenet_v3_large", "convnext_tiny")
EVERY = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in FACTS]

PLUGIN = """
import fdsearch

@fdsearch.builder("tiny_cnn")
def tiny_cnn(config, input_shape, n_classes):
    from keras import layers
    from fdsearch.models.frame import classifier, picture_input, pooled

    pictures, x = picture_input(input_shape, scale=(1 / 255,), offset=(0.0,))
    x = layers.Conv2D(config.custom.get("custom_maps", 4), 3, activation="relu", name="block1_conv")(x)
    return classifier(pictures, pooled(x, config.pooling), config, n_classes)

@fdsearch.loss("nothing")
def nothing(config, n_classes):
    return lambda y_true, logits: 0.0 * logits[:, 0]
"""


def test_every_builder_has_its_facts():
    assert set(FACTS) == set(BUILDERS)
    assert set(BUILDERS) - set(WEIGHTS_FILES) == set(FROM_SCRATCH)
    assert {name for name in FACTS if FACTS[name].licence} == set(WEIGHTS_FILES)
    assert set(OWN_SIZES) <= set(BUILDERS)


@pytest.mark.parametrize("name", EVERY)
def test_builder_keeps_the_contract(name, built, pictures_for):
    model = built(name)
    size = FACTS[name].minimum_size
    assert contract_faults(model, (size, size, 1), 6, name) == []
    logits = model(pictures_for(model))
    assert (tuple(logits.shape), logits.dtype) == ((3, 6), "float32")
    assert np.isfinite(logits).all()
    assert not np.allclose(keras.ops.sum(logits, axis=-1), 1.0)


@pytest.mark.parametrize("name", EVERY)
def test_saved_model_loads_safely_and_holds_only_allowed_classes(name, built, pictures_for, tmp_path):
    model, path = built(name), tmp_path / "model.keras"
    model.save(path)
    config = json.loads(zipfile.ZipFile(path).read("config.json"))
    assert _layer_classes(config) <= {(module, entry) for module, entries in ALLOWED.items() for entry in entries}
    loaded = keras.saving.load_model(path, safe_mode=True)
    pictures = pictures_for(model)
    np.testing.assert_array_equal(loaded(pictures), model(pictures))
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


def _layer_classes(config):
    """Module and class of the layers and operations of a model's configuration, nested ones too."""
    found = set()
    for layer in config["config"].get("layers", ()):
        found |= {(layer["module"], layer["class_name"])} | _layer_classes(layer)
    return found


@pytest.mark.parametrize(
    ("name", "size", "parameters"),
    [
        # Those of the write-up, to the unit.
        ("s_cnn_01", 299, 89_719_878),
        ("s_cnn_02", 299, 43_674_886),
        ("s_cnn_03", 299, 20_171_846),
        ("inception_v3", 299, 21_815_078),
        ("efficientnet_v2s", 299, 20_339_046),
        # Lite0 with its 1000-way top has 4,694,024: less that top, with a head for six classes.
        ("efficientnet_lite0", 224, 4_694_024 - 1281 * 1000 + 1281 * 6),
        # One convolution of 16 maps, halved, to 128 units, to six classes.
        ("piston_cnn", 80, (9 + 1) * 16 + (40 * 40 * 16 + 1) * 128 + 129 * 6),
    ],
)
def test_parameters(name, size, parameters):
    assert count_parameters(name, size) == parameters


@pytest.mark.slow
def test_architectures_list_every_builder_with_what_is_here():
    rows = {row.name: row for row in architectures()}
    assert list(rows) == list(BUILDERS)
    assert rows["s_cnn_02"].weights == ("random",)
    assert not rows["s_cnn_02"].transfer
    assert rows["efficientnet_lite0"].weights == ("imagenet", "random")
    assert rows["inception_v3"].transfer
    assert (rows["inception_v3"].input_size, rows["inception_v3"].parameters) == (299, 21_815_078)


def test_counting_leaves_nothing_behind_that_disturbs_a_model(smallest):
    count_parameters("piston_cnn", 80)
    model = build_model(smallest("piston_cnn", dropout=0.5), 3)
    assert np.isfinite(model(np.zeros((2, 16, 16, 1), np.uint8), training=True)).all()


@pytest.mark.parametrize(("pooling", "width"), [("avg", 1280), ("max", 1280), ("avg_max", 2560), ("gem", 1280)])
def test_pooling_sets_the_width_of_the_features(pooling, width, smallest):
    features = build_model(smallest("efficientnet_lite0", pooling=pooling), 3).get_layer("features")
    assert features.output.shape == (None, width)


def test_names_and_cuts_do_not_depend_on_what_was_built_before(built, smallest):
    first = built("inception_v3")
    again = build_model(smallest("inception_v3"), 6)
    assert [layer.name for layer in again.layers] == [layer.name for layer in first.layers]
    assert cut_points(again) == cut_points(first)
    assert "conv2d_93" in {layer.name for layer in again.layers}


def test_one_seed_gives_one_model(smallest):
    kernels = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        kernels.append(build_model(smallest("piston_cnn"), 3).get_layer("conv_1").kernel)
    np.testing.assert_array_equal(*kernels)


@pytest.mark.parametrize("name", [name for name in FACTS if FACTS[name].minimum_size > 16])
def test_too_small_a_picture_is_refused_with_the_smallest_size(name):
    size = FACTS[name].minimum_size
    config = TrialConfig.from_params({"backbone": name, "weights": "random", "image_size": size - 1})
    with pytest.raises(ConfigError, match=rf"\$\.image_size: got {size - 1}; expected at least {size} pixels"):
        build_model(config, 6)


def test_unknown_architecture_gets_close_matches():
    with pytest.raises(ConfigError, match=r"\$\.backbone: got 'inception_v4'.*did you mean inception_v3"):
        build_model(TrialConfig.from_params({"backbone": "inception_v4"}), 6)


def test_a_name_is_given_once():
    with pytest.raises(ConfigError, match="the architecture piston_cnn exists already"):
        builder("piston_cnn")(BUILDERS["baseline_cnn"])


@pytest.mark.usefixtures("clean_tables")
class TestPlugins:
    @pytest.fixture
    def plugin(self, tmp_path):
        """Writes a plugin; the text is made unique, because a process runs each text once."""

        def write(text, name="plugin.py"):
            path = tmp_path / name
            path.write_text(f"# {tmp_path}\n{text}")
            return path

        return write

    def test_its_architecture_and_loss_join_the_tables(self, plugin):
        load_plugins([plugin(PLUGIN)])
        params = {"backbone": "tiny_cnn", "image_size": 32, "custom_maps": 5, "pooling": "avg_max", "loss": "nothing"}
        model = build_model(TrialConfig.from_params(params), 3)
        assert model.get_layer("features").output.shape == (None, 10)
        assert "nothing" in LOSSES
        assert count_parameters("tiny_cnn", 32) > 0

    def test_the_same_file_runs_once(self, plugin):
        path = plugin(PLUGIN)
        load_plugins([path, path])
        load_plugins([path])
        assert "tiny_cnn" in BUILDERS

    def test_a_name_that_is_taken_is_refused_and_the_rest_taken_back(self, plugin):
        text = PLUGIN + "\nfdsearch.builder('piston_cnn')(tiny_cnn)\n"
        with pytest.raises(ConfigError, match="got a second definition; expected each name once"):
            load_plugins([plugin(text)])
        assert "tiny_cnn" not in BUILDERS
        assert "nothing" not in LOSSES

    def test_a_file_that_fails_says_how_and_can_be_mended(self, plugin):
        with pytest.raises(ConfigError, match=r"plugin\.py: got ZeroDivisionError"):
            load_plugins([plugin(PLUGIN + "\n1 / 0\n")])
        load_plugins([plugin(PLUGIN)])
        assert "tiny_cnn" in BUILDERS

    def test_all_missing_files_are_named_and_none_is_run(self, plugin, tmp_path):
        with pytest.raises(ConfigError, match=r"(?s)a\.py: got no file.*b\.py: got no file"):
            load_plugins([plugin(PLUGIN), tmp_path / "a.py", tmp_path / "b.py"])
        assert "tiny_cnn" not in BUILDERS

    def test_a_model_that_breaks_the_contract_is_refused(self, smallest):
        @builder("bare")
        def bare(config, input_shape, n_classes):
            pictures = keras.Input(input_shape)
            return keras.Model(pictures, keras.layers.Flatten()(pictures))

        with pytest.raises(ConfigError, match="bare is not one fdsearch can train and serve") as caught:
            build_model(TrialConfig.from_params({"backbone": "bare", "image_size": 16}), 3)
        assert len(caught.value.faults) >= 5
