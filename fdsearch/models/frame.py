"""The two ends every model shares: the way in for raw gray pictures, and pooling with the head.

`cnns` and `backbones` put an architecture between them, and so does a plugin's builder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fdsearch import layers as names
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras


def picture_input(
    input_shape: tuple[int, int, int], scale: Sequence[float], offset: Sequence[float]
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the input of raw pictures, and the float32 tensor an architecture starts from.

    Parameters
    ----------
    input_shape : (size, size, 1)
        Pixels; one gray channel.
    scale, offset : sequence of float, length 1 or 3
        The architecture's own preprocessing, ``gray * scale + offset`` per channel for gray values 0 to 255; three
        numbers repeat the gray channel.

    Returns
    -------
    pictures : KerasTensor of uint8, shape (None, size, size, 1)
    prepared : KerasTensor of float32, shape (None, size, size, len(scale))
    """
    import keras

    pictures = keras.Input(input_shape, dtype="uint8", name=names.PICTURES)
    colour = keras.layers.Concatenate(name=names.COLOUR)([pictures] * 3) if len(scale) == 3 else pictures
    # One number where all channels agree: the model's config.json then says what it does at a glance.
    factor = scale[0] if len(set(scale)) == 1 else list(scale)
    shift = offset[0] if len(set(offset)) == 1 else list(offset)
    return pictures, keras.layers.Rescaling(factor, shift, name=names.PREPROCESSING)(colour)


def pooled(maps: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
    """Pool feature maps (None, h, w, c) to the tensor named ``features``: (None, c), for ``avg_max`` (None, 2 c)."""
    from keras import layers

    if pooling == "avg":
        return layers.GlobalAveragePooling2D(name=names.FEATURES)(maps)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(name=names.FEATURES)(maps)
    both = [layers.GlobalAveragePooling2D(name="pool_avg")(maps), layers.GlobalMaxPooling2D(name="pool_max")(maps)]
    return layers.Concatenate(name=names.FEATURES)(both)


def classifier(
    pictures: keras.KerasTensor, features: keras.KerasTensor, config: TrialConfig, n_classes: int
) -> keras.Model:
    """Close a model: dropout and one dense layer on `features` give float32 logits (None, n_classes)."""
    import keras

    dropped = keras.layers.Dropout(config.dropout, name=names.HEAD_DROPOUT)(features)
    # float32 by name: under mixed precision the softmax that follows needs the range.
    logits = keras.layers.Dense(n_classes, dtype="float32", name=names.LOGITS)(dropped)
    return keras.Model(pictures, logits, name=config.backbone)
