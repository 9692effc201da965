"""The small networks of the two write-ups, trained from scratch on one gray channel.

`baseline_cnn` and `s_cnn_01` to `s_cnn_03` are those of the ribbon-bond study (ENS data challenge 157), `piston_cnn`
that of the piston inspection. They have no pretrained weights and one way from maps to features, so `weights`,
`pooling` and `feature_layers` of a trial mean nothing to them. `builders` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdsearch.layers import FEATURES
from fdsearch.models.frame import classifier, picture_input
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

Shape = tuple[int, int, int]


def baseline_cnn(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """Conv 32, pool, dense 64."""
    return _plain_cnn(config, input_shape, n_classes, maps=(32,), hidden=(64,))


def s_cnn_01(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """Conv 64, pool, dense 64: 89,719,878 parameters at 299 px with six classes."""
    return _plain_cnn(config, input_shape, n_classes, maps=(64,), hidden=(64,))


def s_cnn_02(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """Conv 32 and 64, each with pool, dense 128: 43,674,886 parameters at 299 px with six classes."""
    return _plain_cnn(config, input_shape, n_classes, maps=(32, 64), hidden=(128,))


def s_cnn_03(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """Conv 32, 64 and 128, each with pool, dense 128 and 64: 20,171,846 parameters at 299 px with six classes."""
    return _plain_cnn(config, input_shape, n_classes, maps=(32, 64, 128), hidden=(128, 64))


def piston_cnn(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """Conv 3x3 stride 2 with 16 maps, dense 128."""
    from keras import layers

    pictures, x = _unit_gray(config, input_shape)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="conv_1")(x)
    return _dense_head(config, pictures, x, n_classes, hidden=(128,))


def _plain_cnn(
    config: TrialConfig, input_shape: Shape, n_classes: int, *, maps: tuple[int, ...], hidden: tuple[int, ...]
) -> keras.Model:
    from keras import layers

    pictures, x = _unit_gray(config, input_shape)
    for index, filters in enumerate(maps, 1):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv_{index}")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{index}")(x)
    return _dense_head(config, pictures, x, n_classes, hidden=hidden)


def _unit_gray(config: TrialConfig, input_shape: Shape) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    return picture_input(input_shape, scale=(1 / 255,), offset=(0.0,), exposure=config.exposure)


def _dense_head(
    config: TrialConfig,
    pictures: keras.KerasTensor,
    maps: keras.KerasTensor,
    n_classes: int,
    *,
    hidden: tuple[int, ...],
) -> keras.Model:
    from keras import layers

    x = layers.Flatten(name="flatten")(maps)
    for index, units in enumerate(hidden, 1):
        x = layers.Dense(units, name=f"hidden_{index}")(x)
        # The last activation is the features layer: it has no weights, so "the head alone" is the logits alone.
        x = layers.ReLU(name=FEATURES if index == len(hidden) else f"relu_{index}")(x)
    return classifier(pictures, x, config, n_classes)
