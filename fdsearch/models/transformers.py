"""Two small transformers for one gray channel, trained from scratch: a compact convolutional one, and a plain one.

They have no pretrained weights, so a trial's `weights` means nothing to them, nor does `feature_layers`; `cct` has its
own pooling too. `builders` lists them.

References
----------
.. [1] Hassani, Walton, Shah, Abuduweili, Li, Shi: Escaping the big data paradigm with compact transformers.
   arXiv:2104.05704, 2021.
.. [2] Dosovitskiy et al.: An image is worth 16x16 words: transformers for image recognition at scale. ICLR 2021.
.. [3] Beyer, Zhai, Kolesnikov: Better plain ViT baselines for ImageNet-1k. arXiv:2205.01580, 2022 (the mean over tokens
   instead of a token for the class).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdsearch.layers import FEATURES
from fdsearch.models.frame import classifier, picture_input, pooled
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

Shape = tuple[int, int, int]

WIDTH = 128
"""Numbers of a token."""

PATCH = 8
"""Side of the plain transformer's patches, pixels: 256 tokens of its own input size."""

CONVOLUTIONS = (32, 64, WIDTH)
"""Maps of the convolutions that make the compact transformer's tokens, each of which halves the side."""

_SPREAD = 0.02
"""Deviation that embeddings of places start with [2]_."""


def cct(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """CCT-4/3x3 [1]_: three convolutions make tokens, four blocks of two heads, a weighted mean; 128 features."""
    from keras import layers

    pictures, x = picture_input(input_shape, (1 / 127.5,), (-1.0,), config.exposure)
    for number, maps in enumerate(CONVOLUTIONS, 1):
        x = layers.Conv2D(maps, 3, padding="same", use_bias=False, activation="relu", name=f"tokens_conv_{number}")(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"tokens_pool_{number}")(x)
    rows, columns = x.shape[1:3]
    x = _with_places(layers.Reshape((rows * columns, WIDTH), name="tokens")(x))
    x = _encoded(x, n_blocks=4, n_heads=2, expansion=1)
    # A softmax over the tokens weighs them [1]_; the mean of what is weighted is its sum by their number.
    scores = layers.Dense(1, name="weigh")(x)
    weighted = layers.Multiply(name="weighted")([x, layers.Softmax(axis=1, name="token_weights")(scores)])
    mean = layers.GlobalAveragePooling2D(name="token_mean")(
        layers.Reshape((rows, columns, WIDTH), name="weighted_maps")(weighted)
    )
    return classifier(pictures, layers.Rescaling(float(rows * columns), name=FEATURES)(mean), config, n_classes)


def vit(config: TrialConfig, input_shape: Shape, n_classes: int) -> keras.Model:
    """ViT [2]_, small: patches of 8 pixels, six blocks of four heads, tokens pooled as maps are [3]_; 128 features."""
    from keras import layers

    pictures, x = picture_input(input_shape, (1 / 127.5,), (-1.0,), config.exposure)
    side = -(-input_shape[0] // PATCH)
    if missing := side * PATCH - input_shape[0]:
        x = layers.ZeroPadding2D(((0, missing), (0, missing)), name="patches_pad")(x)
    x = layers.Reshape((side, PATCH, side, PATCH), name="patches_rows")(x)
    x = layers.Permute((1, 3, 2, 4), name="patches")(x)
    x = _with_places(layers.Reshape((side * side, PATCH * PATCH), name="patches_flat")(x))
    x = _encoded(x, n_blocks=6, n_heads=4, expansion=2)
    maps = layers.Reshape((side, side, WIDTH), name="maps")(x)
    return classifier(pictures, pooled(maps, config.pooling), config, n_classes)


def _with_places(tokens: keras.KerasTensor) -> keras.KerasTensor:
    """Project tokens (None, t, d) to `WIDTH`, with an embedding of each place: a bias of its own for each token."""
    from keras import initializers, layers

    return layers.EinsumDense(
        "ntd,de->nte",
        (tokens.shape[1], WIDTH),
        bias_axes="te",
        bias_initializer=initializers.TruncatedNormal(stddev=_SPREAD),
        name="embedding",
    )(tokens)


def _encoded(tokens: keras.KerasTensor, n_blocks: int, n_heads: int, expansion: int) -> keras.KerasTensor:
    """Blocks of attention and perceptron, each normalised before and added after, and a last normalisation."""
    from keras import layers

    x = tokens
    for number in range(1, n_blocks + 1):
        name = f"block{number}"
        y = layers.LayerNormalization(name=f"{name}_attention_norm")(x)
        y = layers.MultiHeadAttention(n_heads, WIDTH // n_heads, name=f"{name}_attention")(y, y)
        x = layers.Add(name=f"{name}_attention_add")([x, y])
        y = layers.LayerNormalization(name=f"{name}_mlp_norm")(x)
        y = layers.Dense(expansion * WIDTH, activation="gelu", name=f"{name}_mlp_expand")(y)
        y = layers.Dense(WIDTH, name=f"{name}_mlp_project")(y)
        x = layers.Add(name=f"{name}_add")([x, y])
    return layers.LayerNormalization(name="top_norm")(x)
