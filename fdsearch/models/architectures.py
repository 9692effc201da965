"""What is known of the architectures without building them. `builders` builds and lists them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What a person or a builder must know; input sizes are `fdsearch.parameters.OWN_SIZES`.

    Parameters
    ----------
    minimum_size : int
        Smallest picture it can be built for, pixels.
    licence : str or None
        Of its pretrained weights.
    """

    minimum_size: int = 16
    licence: str | None = None


FACTS: dict[str, Facts] = {
    "baseline_cnn": Facts(),
    "s_cnn_01": Facts(),
    "s_cnn_02": Facts(),
    "s_cnn_03": Facts(24),
    "piston_cnn": Facts(),
    "cct": Facts(),
    "vit": Facts(),
    "efficientnet_lite0": Facts(32, "Apache-2.0"),
    "efficientnet_lite1": Facts(32, "Apache-2.0"),
    "inception_v3": Facts(75, "Apache-2.0"),
    "efficientnet_v2s": Facts(32, "Apache-2.0"),
    "mobilenet_v3_small": Facts(32, "Apache-2.0"),
    "mobilenet_v3_large": Facts(32, "Apache-2.0"),
    "convnext_tiny": Facts(32, "MIT"),
}
"""Facts of the architectures in `BUILDERS`; a plugin's has the defaults."""


@dataclass(frozen=True)
class Architecture:
    """A row of ``fdsearch models list``.

    Parameters
    ----------
    name : str
    parameters : int
        Of the whole model for six classes at `input_size` with average pooling.
    input_size : int
        Side of the square input it was published with, pixels.
    weights : tuple of str
        What it can start from on this machine: ``imagenet``, ``random``.
    transfer : bool
        Whether pretrained weights exist for it at all.
    licence : str or None
        Of the pretrained weights.
    """

    name: str
    parameters: int
    input_size: int
    weights: tuple[str, ...]
    transfer: bool
    licence: str | None
