"""Backbones that may start from ImageNet weights: EfficientNet-Lite and four families of Keras Applications.

Each builder inlines the backbone's layers into one flat model (a nested model could be neither split nor frozen in
part) with the preprocessing its weights were trained with, and leaves the weights random; `builders.build_model` loads
them and `builders.BUILDERS` lists the builders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fdsearch.models import efficientnet_lite as lite
from fdsearch.models.blocks import ends_of_stages
from fdsearch.models.frame import classifier, picture_input, pooled
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

Shape = tuple[int, int, int]

# Mean and standard deviation of ImageNet's red, green and blue, gray values 0 to 255.
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)

EARLIER_STAGES = 3
"""Stages before the last one that ``feature_layers: multi`` pools too. Of EfficientNet-Lite those with 112, 192 and 320
channels: finer ones add little to a probe, and a tail could store nothing behind the first of them."""


def efficientnet_lite0(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """EfficientNet-Lite0, 1280 features; the default, whose weights are installed with fdsearch."""
    return _lite("efficientnet_lite0", config, input_shape, n_classes)


def efficientnet_lite1(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """EfficientNet-Lite1, 1280 features: five blocks more than Lite0."""
    return _lite("efficientnet_lite1", config, input_shape, n_classes)


def _lite(name: str, config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    pictures, x = picture_input(input_shape, (lite.GAIN,) * 3, (lite.OFFSET,) * 3, config.exposure)
    return _closed(config, pictures, lite.feature_maps(x, lite.SCALES[name]), n_classes)


def inception_v3(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """InceptionV3, 2048 features: the write-up's best, in three phases at 299 px."""
    return _application("InceptionV3", config, input_shape, n_classes, (1 / 127.5,) * 3, (-1.0,) * 3, {})


def efficientnet_v2s(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """EfficientNetV2-S, 1280 features."""
    options = {"include_preprocessing": False}
    return _application("EfficientNetV2S", config, input_shape, n_classes, (1 / 128,) * 3, (-1.0,) * 3, options)


def mobilenet_v3_small(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """MobileNetV3-Small, 576 features."""
    options = {"include_preprocessing": False}
    return _application("MobileNetV3Small", config, input_shape, n_classes, (1 / 127.5,) * 3, (-1.0,) * 3, options)


def mobilenet_v3_large(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """MobileNetV3-Large, 960 features."""
    options = {"include_preprocessing": False}
    return _application("MobileNetV3Large", config, input_shape, n_classes, (1 / 127.5,) * 3, (-1.0,) * 3, options)


def convnext_tiny(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """ConvNeXt-Tiny, 768 features."""
    scale = tuple(1 / deviation for deviation in _IMAGENET_STD)
    offset = tuple(-mean / deviation for mean, deviation in zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True))
    return _application("ConvNeXtTiny", config, input_shape, n_classes, scale, offset, {"include_preprocessing": False})


def _application(
    name: str,
    config: TrialConfig,
    input_shape: Shape,
    n_classes: int,
    scale: tuple[float, ...],
    offset: tuple[float, ...],
    options: Mapping[str, Any],
) -> keras.Model:
    import keras

    make: Callable[..., keras.Model] = getattr(keras.applications, name)
    pictures, x = picture_input(input_shape, scale, offset, config.exposure)
    backbone = make(include_top=False, weights=None, input_tensor=x, **options)
    return _closed(config, pictures, backbone.output, n_classes)


def _closed(config: TrialConfig, pictures: keras.KerasTensor, maps: keras.KerasTensor, n_classes: int) -> keras.Model:
    """Pool the last maps, with ``feature_layers: multi`` those of earlier stages too, and put the head on."""
    earlier = ends_of_stages(pictures, maps, EARLIER_STAGES) if config.feature_layers == "multi" else []
    return classifier(pictures, pooled([*earlier, maps], config.pooling), config, n_classes)
