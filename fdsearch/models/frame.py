"""The two ends every model shares: the way in for raw gray pictures, and pooling with the head.

`cnns`, `transformers` and `backbones` put an architecture between them, and so does a plugin's builder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fdsearch import layers as names
from fdsearch.models.exposure import TYPICAL_DEVIATION, TYPICAL_MEAN, evened
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

GEM = f"{names.POOLING}gem_of_"
"""How the names of the layers of a generalised mean begin."""

COSINE_SCALE = 16.0
"""Length of the features before a cosine head; logits lie within plus and minus that (and the bias).

Calibration brings its own temperature, so it decides how hard the loss pulls and not what is answered: with 16, six
classes can reach a loss of 0.001, and 10 to 30 are usual."""


def picture_input(
    input_shape: tuple[int, int, int], scale: Sequence[float], offset: Sequence[float], exposure: str = "none"
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the input of raw pictures, and the float32 tensor an architecture starts from.

    Parameters
    ----------
    input_shape : (size, size, 1)
        Pixels; one gray channel.
    scale, offset : sequence of float, length 1 or 3
        The architecture's own preprocessing, ``gray * scale + offset`` per channel for gray values 0 to 255; three
        numbers repeat the gray channel.
    exposure : {"none", "standardise", "local_contrast"}
        What `exposure.evened` does first. Its output is brought to the gray values of a typical photograph, and the
        preprocessing follows.

    Returns
    -------
    pictures : KerasTensor of uint8, shape (None, size, size, 1)
    prepared : KerasTensor of float32, shape (None, size, size, len(scale))
    """
    import keras

    gray = pictures = keras.Input(input_shape, dtype="uint8", name=names.PICTURES)
    if exposure != "none":
        gray = evened(pictures, exposure)
        offset = [factor * TYPICAL_MEAN + shift for factor, shift in zip(scale, offset, strict=True)]
        scale = [factor * TYPICAL_DEVIATION for factor in scale]
    colour = keras.layers.Concatenate(name=names.COLOUR)([gray] * 3) if len(scale) == 3 else gray
    # One number where all channels agree: the model's config.json then says what it does at a glance.
    factor = scale[0] if len(set(scale)) == 1 else list(scale)
    shift = offset[0] if len(set(offset)) == 1 else list(offset)
    return pictures, keras.layers.Rescaling(factor, shift, name=names.PREPROCESSING)(colour)


def pooled(maps: keras.KerasTensor | Sequence[keras.KerasTensor], pooling: str) -> keras.KerasTensor:
    """Pool feature maps to the tensor named ``features``.

    Parameters
    ----------
    maps : KerasTensor, shape (None, h, w, c), or several
    pooling : {"avg", "max", "avg_max", "gem"}

    Returns
    -------
    KerasTensor, shape (None, d)
        d is the number of maps, with ``avg_max`` twice that: the means of all of them first.
    """
    from keras import layers

    several = list(maps) if isinstance(maps, list | tuple) else [maps]
    kinds = ("avg", "max") if pooling == "avg_max" else (pooling,)
    if len(several) == len(kinds) == 1:
        return _POOLS[pooling](several[0], names.FEATURES)
    parts = [
        _POOLS[kind](each, f"{names.POOLING}{kind}_{number}") for kind in kinds for number, each in enumerate(several)
    ]
    return layers.Concatenate(name=names.FEATURES)(parts)


def _average(maps: keras.KerasTensor, name: str) -> keras.KerasTensor:
    from keras import layers

    return layers.GlobalAveragePooling2D(name=name)(maps)


def _maximum(maps: keras.KerasTensor, name: str) -> keras.KerasTensor:
    from keras import layers

    return layers.GlobalMaxPooling2D(name=name)(maps)


def generalised_mean(maps: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """The third root of the mean of cubes, negative values as 0; between mean and maximum [1]_.

    Taken of shares of the maximum, so that no cube leaves the range of float16.

    References
    ----------
    .. [1] Radenovic, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation. TPAMI 2019, section 3.1
       (p = 3, what their trained p comes close to).
    """
    from keras import layers, ops

    part = f"{GEM}{name}"
    largest = layers.ReLU(name=f"{part}_largest")(layers.GlobalMaxPooling2D(name=f"{part}_max")(maps))
    divisor = layers.Rescaling(1.0, 1e-6, name=f"{part}_divisor")(largest)  # of maps that are 0 throughout
    shares = ops.divide(maps, layers.Reshape((1, 1, maps.shape[-1]), name=f"{part}_reshape")(divisor))
    shares = layers.ReLU(name=f"{part}_shares")(shares)
    cubes = layers.Multiply(name=f"{part}_cubes")([shares, shares, shares])
    # A root is steep without end at 0, and 0 times infinity no gradient.
    mean = layers.Rescaling(1.0, 1e-9, name=f"{part}_shift")(_average(cubes, f"{part}_mean"))
    return layers.Multiply(name=name)([largest, ops.power(mean, 1 / 3)])


_POOLS = {"avg": _average, "max": _maximum, "gem": generalised_mean}


def classifier(
    pictures: keras.KerasTensor, features: keras.KerasTensor, config: TrialConfig, n_classes: int
) -> keras.Model:
    """Close a model: dropout and one dense layer on `features` give float32 logits (None, n_classes).

    With ``head: cosine`` the features have one length, `COSINE_SCALE`, and each class's column of the kernel has length
    1, to which training brings it back after each step: a logit is the cosine of the angle between the two, scaled, and
    a class cannot win by the length of its vector, which grows with its number of pictures [1]_. A bias for each class
    stays, so that a probe's head can be taken over.

    References
    ----------
    .. [1] Gidaris, Komodakis: Dynamic few-shot visual learning without forgetting. CVPR 2018, section 3.2.
    """
    import keras

    options: dict[str, Any] = {}
    if config.head == "cosine":
        features = _of_one_length(features)
        # Orthogonal columns have length 1 from the start.
        options = {"kernel_initializer": "orthogonal", "kernel_constraint": keras.constraints.UnitNorm(axis=0)}
    dropped = keras.layers.Dropout(config.dropout, name=names.HEAD_DROPOUT)(features)
    # float32 by name: under mixed precision the softmax that follows needs the range.
    logits = keras.layers.Dense(n_classes, dtype="float32", name=names.LOGITS, **options)(dropped)
    return keras.Model(pictures, logits, name=config.backbone)


def _of_one_length(features: keras.KerasTensor) -> keras.KerasTensor:
    """Features of `COSINE_SCALE`'s length, which are ``features`` from now on."""
    from keras import layers

    features._keras_history.operation.name = f"{names.POOLING}raw"
    unit = layers.UnitNormalization(name=f"{names.POOLING}unit")(features)
    return layers.Rescaling(COSINE_SCALE, name=names.FEATURES)(unit)
