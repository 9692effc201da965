"""The methods that `ablations` compares: each a change to one of a few bases, by the parameters that a study may name.

A variant is compared with its base on the same folds and seeds. `REFERENCE` is the probe on one view that every study
starts from; `TAIL` is the shallow fine-tuning from the probe's head that most methods are tried on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PROBE: dict[str, Any] = {"phases": "probe", "pooling": "avg_max", "image_size": 224, "class_weighting": 1.0}
TAIL: dict[str, Any] = {
    "phases": "tail",
    "pooling": "avg_max",
    "image_size": 224,
    "unfreeze": 0.28,
    "learning_rate": 3e-4,
    "schedule": "cosine",
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "epochs": 10,
    "label_smoothing": 0.05,
    "class_weighting": 0.75,
    "exposure": "standardise",
}
BASES = {"probe": PROBE, "tail": TAIL}
REFERENCE = "probe"


@dataclass(frozen=True)
class Variant:
    """One method: a base and what differs from it."""

    base: str
    change: dict[str, Any]

    @property
    def params(self) -> dict[str, Any]:
        return {**BASES[self.base], **self.change}


def _variants(base: str, changes: dict[str, dict[str, Any]]) -> dict[str, Variant]:
    return {f"{base}: {name}": Variant(base, change) for name, change in changes.items()}


VARIANTS: dict[str, Variant] = {
    **{name: Variant(name, {}) for name in BASES},
    **_variants(
        "probe",
        {
            "average pooling": {"pooling": "avg"},
            "maximum pooling": {"pooling": "max"},
            "generalised mean pooling": {"pooling": "gem"},
            "several layers": {"feature_layers": "multi"},
            "160 px": {"image_size": 160},
            "288 px": {"image_size": 288},
            "384 px": {"image_size": 384},
            "padded": {"resize": "pad"},
            "cropped": {"resize": "crop"},
            "standardised pictures": {"exposure": "standardise"},
            "local contrast": {"exposure": "local_contrast"},
            "4 views": {"probe_views": 4},
            "8 views": {"probe_views": 8},
            "4 test views": {"test_views": 4},
            "8 views, 4 test views": {"probe_views": 8, "test_views": 4},
            "no class weights": {"class_weighting": 0.0},
            "class weights ** 0.5": {"class_weighting": 0.5},
            "c 0.0003": {"probe_c": 0.0003},
            "c 0.03": {"probe_c": 0.03},
        },
    ),
    **_variants(
        "tail",
        {
            "pictures as they are": {"exposure": "none"},
            "local contrast": {"exposure": "local_contrast"},
            "4 test views": {"test_views": 4},
            "probe on 8 views": {"probe_views": 8},
            "288 px": {"image_size": 288},
            "padded": {"resize": "pad"},
            "average pooling": {"pooling": "avg"},
            "generalised mean pooling": {"pooling": "gem"},
            "several layers": {"feature_layers": "multi"},
            "cosine head": {"head": "cosine"},
            "shallower": {"unfreeze": 0.12},
            "deeper": {"unfreeze": 0.5},
            "20 epochs": {"epochs": 20},
            "flips, 4 views": {"augmentation": 1.0, "augmentation_policy": "flips", "augmentation_views": 4},
            "flips, 10 views": {"augmentation": 1.0, "augmentation_policy": "flips", "augmentation_views": 10},
            "mild augmentation": {"augmentation": 0.5, "augmentation_policy": "mild", "augmentation_views": 4},
            "mixup": {"mixup": 0.2},
            "no label smoothing": {"label_smoothing": 0.0},
            "dropout 0": {"dropout": 0.0},
            "class weights ** 1": {"class_weighting": 1.0},
            "no class weights": {"class_weighting": 0.0},
            "class-balanced loss": {"loss": "class_balanced", "class_weighting": 0.0},
            "logit-adjusted loss": {"loss": "logit_adjusted", "class_weighting": 0.0, "label_smoothing": 0.0},
            "LDAM, deferred weights": {"loss": "ldam", "class_weighting": 1.0, "deferred_weighting": 0.6},
            "soft F1": {"loss": "soft_f1", "class_weighting": 0.0},
            "focal loss": {"loss": "focal"},
            "deferred weights": {"deferred_weighting": 0.6},
            "balanced sampling": {"sampling": "balanced", "class_weighting": 0.0},
            "layer decay 0.7": {"layer_decay": 0.7},
            "L2-SP": {"l2_sp": 0.01, "weight_decay": 0.0},
            "EMA": {"weight_average": "ema"},
            "SWA": {"weight_average": "swa"},
            "from a random head": {"head_init": "random"},
        },
    ),
}
