"""The two ends every model shares: the way in for raw gray pictures, and pooling with the head.

`cnns` and `backbones` put an architecture between them, and so does a plugin's builder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Pools:
    """Every pooling of a model's last feature maps at once: one pass over the pictures serves them all.

    Parameters
    ----------
    model : keras.Model
        From the pictures to `fdsearch.layers.POOLS`, sharing the layers and weights of the model it was made of.
    own : slice
        The columns that are that model's ``features``.
    """

    model: keras.Model
    own: slice


def pools(model: keras.Model) -> Pools | None:
    """Find what a model's ``features`` are pooled from; None where they are made in any other way than by `pooled`."""
    import keras
    from keras import layers

    mean, maximum = layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D
    last, by_output = model.get_layer(names.FEATURES), {id(layer.output): layer for layer in model.layers}
    sources = [by_output.get(id(tensor)) for tensor in last.input] if type(last) is layers.Concatenate else [last]
    kinds = [type(source) for source in sources]
    if kinds not in ([mean], [maximum], [mean, maximum]):
        return None
    maps, *others = [source.input for source in sources if source is not None]
    if any(other is not maps for other in others):
        return None
    width = int(maps.shape[-1])
    own = slice(width if kinds == [maximum] else 0, width if kinds == [mean] else 2 * width)
    both = layers.Concatenate(name=names.POOLS)([mean()(maps), maximum()(maps)])
    return Pools(keras.Model(model.inputs[0], both, name=names.POOLS), own)


def classifier(
    pictures: keras.KerasTensor, features: keras.KerasTensor, config: TrialConfig, n_classes: int
) -> keras.Model:
    """Close a model: dropout and one dense layer on `features` give float32 logits (None, n_classes)."""
    import keras

    dropped = keras.layers.Dropout(config.dropout, name=names.HEAD_DROPOUT)(features)
    # float32 by name: under mixed precision the softmax that follows needs the range.
    logits = keras.layers.Dense(n_classes, dtype="float32", name=names.LOGITS)(dropped)
    return keras.Model(pictures, logits, name=config.backbone)
