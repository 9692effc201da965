"""The table of architectures: from a trial's configuration to a Keras model that is ready to train.

`BUILDERS` lists them by the names YAML uses; a plugin's join with ``@fdsearch.builder("name")``. The architectures
themselves are in `cnns`, `transformers` and `backbones`, their weights in `weights`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from fdsearch.errors import ConfigError, Fault, FdsearchError, ResourceError
from fdsearch.models import backbones, cnns, transformers
from fdsearch.models.architectures import FACTS, Architecture, Facts
from fdsearch.models.contract import contract_faults
from fdsearch.models.losses import LOSSES
from fdsearch.models.tables import NameTable
from fdsearch.models.topology import name_stably
from fdsearch.models.weights import available, load_weights
from fdsearch.models.weights_files import WEIGHTS_FILES
from fdsearch.parameters import DEFAULT_SIZE, OWN_SIZES
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras


class ModelBuilder(Protocol):
    """Builds an untrained model of one architecture.

    The model is functional and flat: raw uint8 pictures (n, size, size, 1) named ``pictures`` in, the architecture's
    own scaling ``preprocessing`` inside, a weightless layer ``features`` (n, d), dropout ``head_dropout``, a dense
    layer ``logits`` (n, n_classes) of float32 without softmax out. `fdsearch.models.frame` builds both ends.
    """

    def __call__(self, config: TrialConfig, input_shape: tuple[int, int, int], n_classes: int) -> keras.Model: ...


BUILDERS: NameTable[ModelBuilder] = NameTable(
    "architecture",
    {
        "baseline_cnn": cnns.baseline_cnn,
        "s_cnn_01": cnns.s_cnn_01,
        "s_cnn_02": cnns.s_cnn_02,
        "s_cnn_03": cnns.s_cnn_03,
        "piston_cnn": cnns.piston_cnn,
        "cct": transformers.cct,
        "vit": transformers.vit,
        "efficientnet_lite0": backbones.efficientnet_lite0,
        "efficientnet_lite1": backbones.efficientnet_lite1,
        "inception_v3": backbones.inception_v3,
        "efficientnet_v2s": backbones.efficientnet_v2s,
        "mobilenet_v3_small": backbones.mobilenet_v3_small,
        "mobilenet_v3_large": backbones.mobilenet_v3_large,
        "convnext_tiny": backbones.convnext_tiny,
    },
)


def builder(name: str) -> Callable[[ModelBuilder], ModelBuilder]:
    """Return a decorator that enters a plugin's architecture under `name`.

    Raises
    ------
    ConfigError
        If the name is taken.

    Examples
    --------
    ::

        @fdsearch.builder("tiny_cnn")
        def tiny_cnn(config, input_shape, n_classes):
            from keras import layers
            from fdsearch.models.frame import classifier, picture_input, pooled

            pictures, x = picture_input(input_shape, (1 / 255,), (0.0,), config.exposure)
            x = layers.Conv2D(int(config.custom.get("custom_maps", 16)), 3, activation="relu", name="block1_conv")(x)
            return classifier(pictures, pooled(x, config.pooling), config, n_classes)
    """
    return BUILDERS.register(name)


def build_model(config: TrialConfig, n_classes: int) -> keras.Model:
    """Build a trial's model, with ImageNet weights where the trial asks for them and its architecture has any.

    Parameters
    ----------
    config : TrialConfig
        Of it `backbone`, `image_size`, `exposure`, `pooling`, `feature_layers`, `head`, `weights`, `dropout` and
        `custom` count.
    n_classes : int

    Returns
    -------
    keras.Model
        As `ModelBuilder` describes; names of its layers depend on the architecture alone.

    Raises
    ------
    ConfigError
        If the architecture is unknown, cannot take pictures of this size, or is a plugin's that breaks the contract.
    ResourceError
        If its weights or Keras are not on this machine.
    IntegrityError
        If the weights file is not the published one.
    """
    _require_keras()
    model = _build(config, n_classes)
    if config.weights == "imagenet" and config.backbone in WEIGHTS_FILES:
        load_weights(model, config.backbone)
    return model


def architectures() -> list[Architecture]:
    """Describe every architecture, plugins included; parameters are counted by building each without its numbers."""
    _require_keras()
    rows = []
    for name in BUILDERS:
        size = OWN_SIZES.get(name, DEFAULT_SIZE)
        licence = FACTS.get(name, Facts()).licence
        parameters = count_parameters(name, size)
        rows.append(Architecture(name, parameters, size, available(name), name in WEIGHTS_FILES, licence))
    return rows


def count_parameters(backbone: str, image_size: int, n_classes: int = 6) -> int:
    """Count an architecture's parameters, trained and fixed, without allocating them."""
    import tensorflow as tf

    config = TrialConfig.from_params({"backbone": backbone, "image_size": image_size, "weights": "random"})
    # In a graph that is never run, variables have a shape and no value: S-CNN 01 alone would fill 359 MB.
    with tf.Graph().as_default():
        return int(_build(config, n_classes).count_params())


def load_plugins(paths: Iterable[Path]) -> None:
    """Run Python files that register architectures and losses; a file that ran before, unchanged, is not run again.

    Raises
    ------
    ConfigError
        If files are missing, or one fails; whatever it had registered is taken back.
    """
    files = list(paths)
    missing = [Fault(str(path), "no file", "a Python file", "mend the path") for path in files if not path.is_file()]
    if missing:
        raise ConfigError("plugins are missing", missing)
    for path in files:
        source = path.read_bytes()
        name = f"fdsearch_plugin_{hashlib.sha256(source).hexdigest()[:16]}"
        if name not in sys.modules:
            _run_plugin(path, source, name)


def _run_plugin(path: Path, source: bytes, name: str) -> None:
    tables: tuple[NameTable[Any], ...] = (BUILDERS, LOSSES)
    before = [set(table) for table in tables]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        # The very bytes that were hashed are run.
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[name]
        for table, known in zip(tables, before, strict=True):
            for entry in set(table) - known:
                del table[entry]
        faults = error.faults if isinstance(error, FdsearchError) else ()
        own = Fault(str(path), f"{type(error).__name__}: {error}", "a file that runs", "mend the plugin")
        raise ConfigError(f"the plugin {path} cannot be loaded", faults or [own]) from error


def _build(config: TrialConfig, n_classes: int) -> keras.Model:
    """Build with random weights, check, and name stably."""
    make = BUILDERS.find(config.backbone, "$.backbone")
    facts = FACTS.get(config.backbone, Facts())
    if config.image_size < facts.minimum_size:
        expected = f"at least {facts.minimum_size} pixels for {config.backbone}"
        raise ConfigError(
            "the pictures are too small for the architecture", [Fault("$.image_size", str(config.image_size), expected)]
        )
    shape = (config.image_size, config.image_size, 1)
    model = make(config, shape, n_classes)
    faults = contract_faults(model, shape, n_classes, f"builder {config.backbone}")
    if faults:
        raise ConfigError(f"the model of {config.backbone} is not one fdsearch can train and serve", faults)
    name_stably(model)
    return model


def _require_keras() -> None:
    if importlib.util.find_spec("keras") is None:
        fault = Fault("keras", "not installed", "the extra `train`", "pip install fdsearch[train]")
        raise ResourceError("models need the training packages", [fault])
