"""What `space: auto` goes by: measured figures and rules of thumb as tables, which `auto_space` looks up.

A better measurement changes a row here and nothing else. docs/decisions/0036-what-auto-decides.md says which rows are
measured and which are guesses; a method enters once docs/ablations.md shows that it earns its place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Entry = dict[str, Any]
"""A distribution as a search space's YAML spells it."""


@dataclass(frozen=True)
class Tier:
    """How much may be trained on so many parts.

    Parameters
    ----------
    name : str
        For the reasons.
    below : float
        Parts to develop with, of a class in the mean, that are too many for this tier.
    phases : tuple of str
        Presets that are searched, ``probe`` among them.
    unfreeze : tuple of float
        Least and largest share of a backbone that tails train.
    epochs : tuple of int
        Fewest and most.
    probe_c : tuple of float
        Range of the probe's inverse regularisation; holds its default.
    weight_decay, label_smoothing : float
    max_trials : int
        More would find what is lucky rather than what is better.
    """

    name: str
    below: float
    phases: tuple[str, ...]
    unfreeze: tuple[float, float]
    epochs: tuple[int, int]
    probe_c: tuple[float, float]
    weight_decay: float
    label_smoothing: float
    max_trials: int


TIERS = (
    Tier("few", 10, ("probe", "head"), (0.0, 0.0), (4, 10), (1e-4, 1e-2), 0.05, 0.1, 12),
    Tier("some", 300, ("probe", "tail"), (0.12, 0.44), (6, 14), (1e-4, 1e-1), 0.01, 0.05, 24),
    Tier("many", math.inf, ("probe", "tail", "head_mid_deep"), (0.2, 1.0), (4, 12), (1e-4, 1.0), 0.01, 0.05, 60),
)


@dataclass(frozen=True)
class Device:
    """What a kind of device can be asked for.

    Parameters
    ----------
    name : str
    budget_s : float
        Of a study that states none.
    backbones : tuple of str
        Those worth their time there, by promise; the known one first.
    n_backbones : int
        So many of those whose weights are there are searched.
    largest : int
        Side of the largest pictures, pixels.
    batch_sizes : tuple of int
    augments : bool
        Whether new variations in every epoch are affordable: they keep frozen layers from being computed once.
    forward_per_s, tail_per_s : float
        Pictures of `NATIVE` pixels that one core, or one GPU, takes through EfficientNet-Lite0, and through the epochs
        of a tail whose frozen layers are stored.
    """

    name: str
    budget_s: float
    backbones: tuple[str, ...]
    n_backbones: int
    largest: int
    batch_sizes: tuple[int, ...]
    augments: bool
    forward_per_s: float
    tail_per_s: float


DEVICES = {
    "cpu": Device(
        name="core",
        budget_s=2700.0,
        backbones=("efficientnet_lite0", "efficientnet_lite1", "mobilenet_v3_large"),
        n_backbones=1,
        largest=288,
        batch_sizes=(32, 16),
        augments=False,
        forward_per_s=58.0,
        tail_per_s=100.0,
    ),
    "gpu": Device(
        name="GPU",
        budget_s=3600.0,
        backbones=("efficientnet_lite0", "efficientnet_v2s", "convnext_tiny", "efficientnet_lite1", "inception_v3"),
        n_backbones=3,
        largest=512,
        batch_sizes=(32, 64),
        augments=True,
        forward_per_s=2000.0,
        tail_per_s=800.0,
    ),
}

RELATIVE_COST = {
    "efficientnet_lite0": 1.0,
    "efficientnet_lite1": 1.4,
    "mobilenet_v3_large": 0.6,
    "efficientnet_v2s": 7.0,
    "convnext_tiny": 11.0,
    "inception_v3": 8.0,
}
"""Multiplications for one picture, as a multiple of EfficientNet-Lite0's at the same size."""

SMALL_NETWORKS = ("baseline_cnn", "piston_cnn")
"""Where no pretrained weights are: small networks at their own sizes."""

NATIVE = 224
"""Side, pixels, that the pretrained networks were made for."""
SIZES = (160, 224, 288, 384, 512)
"""Sides that are offered, pixels."""

METHODS: dict[str, Entry] = {
    "pooling": {"fixed": "avg_max"},
    "exposure": {"type": "categorical", "choices": ["standardise", "none"]},
}
"""What every trial may vary, the promising choice first; those of `question.baseline_point` must be among them."""
CLASS_WEIGHTING: Entry = {"type": "float", "low": 0.5, "high": 1.0}
UNBALANCED = 2.0
"""Pictures of the largest class for one of the smallest, from which on `CLASS_WEIGHTING` is searched."""
VIEWS = (8, 4, 1)
"""Views that a probe is fitted on, most first: so many as the budget carries."""
TEST_VIEWS = 4

TRAINED: dict[str, Entry] = {
    "optimizer": {"fixed": "adamw"},
    "schedule": {"fixed": "cosine"},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-3, "log": True},
}
"""What only trials vary that train more than a probe."""
AUGMENTED: dict[str, Entry] = {
    "augmentation": {"type": "float", "low": 0.0, "high": 1.0},
    "augmentation_policy": {"fixed": "flips"},
}
"""Beside `TRAINED` on devices that augment."""
SCRATCH: dict[str, Entry] = {
    "class_weighting": {"type": "float", "low": 0.0, "high": 1.0},
    "exposure": {"type": "categorical", "choices": ["standardise", "none"]},
    "optimizer": {"fixed": "adamw"},
    "schedule": {"fixed": "cosine"},
    "learning_rate": {"type": "float", "low": 3e-4, "high": 3e-3, "log": True},
    "epochs": {"type": "int", "low": 10, "high": 30},
}
"""The whole space of networks that are trained from scratch, apart from which these are and their batches."""

PROBE_RECIPE: Entry = {
    "phases": "probe",
    "image_size": NATIVE,
    "exposure": "none",
    "probe_views": 8,
    "test_views": TEST_VIEWS,
    "class_weighting": 1.0,
    "probe_c": 0.003,
}
TAIL_RECIPE: Entry = {
    "phases": "tail",
    "image_size": NATIVE,
    "exposure": "standardise",
    "unfreeze": 0.28,
    "epochs": 10,
    "learning_rate": 3e-4,
    "batch_size": 32,
    "class_weighting": 0.75,
    "label_smoothing": 0.05,
    "probe_views": 8,
    "test_views": TEST_VIEWS,
    "augmentation": 0.0,
}
RECIPES = {"a probe on several views": PROBE_RECIPE, "the last blocks from the probe's head": TAIL_RECIPE}
"""Points that are tried first where the space has them; what a space lacks of one it replaces by its own default."""

VIEWS_SHARE = 0.2
"""Of the search's time: what the views of a probe may take to compute, all sizes together."""
DEEP_SHARE = 0.35
"""Of the search's time: what one trial may take that trains a tail."""
MIN_TRIALS = 6
