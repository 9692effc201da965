"""The table of every parameter a search space may name, with its default and the values that training accepts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fdsearch.errors import Fault, did_you_mean
from fdsearch.space import Value

RESIZE_POLICIES = ("stretch", "pad", "crop")
EXPOSURES = ("none", "standardise", "local_contrast")
POOLINGS = ("avg", "max", "avg_max", "gem")
FEATURE_LAYERS = ("last", "multi")
HEADS = ("linear", "cosine")
WEIGHTS = ("imagenet", "random")
SCHEDULES = ("constant", "step", "cosine", "plateau")
AUGMENTATION_POLICIES = ("mild", "geometric", "flips")
TEST_VIEWS = (1, 2, 4)
SAMPLINGS = ("shuffled", "balanced")
WEIGHT_AVERAGES = ("none", "ema", "swa")
OPTIMIZERS = ("adam", "adamw", "sgd")
MONITORS = ("none", "macro_f1", "loss", "both")
HEAD_INITS = ("probe", "random")
SUBSAMPLES = ("none", "balanced")
PHASES = ("probe", "head", "tail", "head_tail", "head_mid_deep", "full")
"""Names of the phase presets; `fdsearch.trial.PRESETS` says what each does."""

FROM_SCRATCH = {
    "baseline_cnn": 128,
    "s_cnn_01": 299,
    "s_cnn_02": 299,
    "s_cnn_03": 299,
    "piston_cnn": 80,
    "cct": 128,
    "vit": 128,
}
"""Networks without pretrained weights, with their own input sizes (pixels); by default they train in one phase."""
OWN_SIZES = {
    **FROM_SCRATCH,
    "efficientnet_lite1": 240,
    "inception_v3": 299,
    "efficientnet_v2s": 299,
}
"""Input sizes, pixels, of the backbones whose own is not `DEFAULT_SIZE`."""
DEFAULT_SIZE = 224


@dataclass(frozen=True)
class Parameter:
    """Default and admissible values of one parameter."""

    default: Value
    expected: str
    valid: Callable[[Value], bool]


def _one_of(default: Value, choices: Sequence[Value]) -> Parameter:
    return Parameter(default, f"one of {', '.join(map(str, choices))}", lambda value: value in choices)


def _number(default: float, low: float, high: float) -> Parameter:
    def valid(value: Value) -> bool:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and math.isfinite(value) and low <= value <= high

    return Parameter(default, f"a number from {low:g} to {high:g}", valid)


def _whole(default: int, low: int, high: int) -> Parameter:
    def valid(value: Value) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Parameter(default, f"a whole number from {low} to {high}", valid)


def _name(default: str) -> Parameter:
    return Parameter(default, "a name", lambda value: isinstance(value, str) and bool(value))


def _layer_counts(value: Value) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, (list, tuple)) and 1 <= len(value) <= 2 and all(isinstance(n, int) and n > 0 for n in value)
    )


PARAMETERS: dict[str, Parameter] = {
    "backbone": _name("efficientnet_lite0"),
    "image_size": _whole(DEFAULT_SIZE, 16, 2048),
    "resize": _one_of("stretch", RESIZE_POLICIES),
    "exposure": _one_of("none", EXPOSURES),
    "pooling": _one_of("avg", POOLINGS),
    "feature_layers": _one_of("last", FEATURE_LAYERS),
    "head": _one_of("linear", HEADS),
    "weights": _one_of("imagenet", WEIGHTS),
    "head_init": _one_of("probe", HEAD_INITS),
    "phases": _one_of("probe", PHASES),
    "unfreeze": _number(0.2, 0.0, 1.0),
    "unfreeze_layers": Parameter(None, "a list of one or two numbers of layers", _layer_counts),
    "learning_rate": _number(1e-3, 1e-9, 10.0),
    "phase_decay": _number(0.3, 1e-6, 1.0),
    "schedule": _one_of("constant", SCHEDULES),
    "warmup": _number(0.0, 0.0, 1.0),
    "epochs": _whole(10, 1, 10_000),
    "batch_size": _whole(32, 1, 4096),
    "dropout": _number(0.2, 0.0, 0.95),
    "optimizer": _one_of("adam", OPTIMIZERS),
    "weight_decay": _number(0.0, 0.0, 1.0),
    "layer_decay": _number(1.0, 0.1, 1.0),
    "l2_sp": _number(0.0, 0.0, 1.0),
    "weight_average": _one_of("none", WEIGHT_AVERAGES),
    "class_weighting": _number(1.0, 0.0, 1.0),
    "deferred_weighting": _number(0.0, 0.0, 0.95),
    "sampling": _one_of("shuffled", SAMPLINGS),
    "subsample": _one_of("none", SUBSAMPLES),
    "augmentation": _number(0.0, 0.0, 1.0),
    "augmentation_policy": _one_of("mild", AUGMENTATION_POLICIES),
    "augmentation_views": _whole(0, 0, 10_000),
    "mixup": _number(0.0, 0.0, 1.0),
    "probe_views": _whole(1, 1, 32),
    "test_views": _one_of(1, TEST_VIEWS),
    "loss": _name("cross_entropy"),
    "label_smoothing": _number(0.0, 0.0, 0.5),
    "focal_gamma": _number(2.0, 0.0, 10.0),
    "batch_norm": _one_of("frozen", ("frozen", "trained")),
    # Pooled macro F1 over two fold seeds, C = .003 / .01 (EfficientNet-Lite0, avg_max): .569 / .564 on magnetic_tile at
    # 224 px and .526 / .516 at 160 px, .996 / .998 on pistons; differences of this size are within the folds' noise.
    "probe_c": _number(0.003, 1e-8, 1e4),
    "early_stopping": _one_of("none", MONITORS),
    "patience": _whole(7, 1, 1000),
    "min_delta": _number(0.0, 0.0, 1.0),
    "start_epoch": _whole(0, 0, 10_000),
}
"""Every parameter a search space may name."""


def parameter_faults(params: Mapping[str, Value], where: str = "$") -> list[Fault]:
    """List the unknown names and wrong values among flat parameters."""
    faults = []
    for name, value in params.items():
        if name.startswith("custom_"):
            continue
        if name not in PARAMETERS:
            fix = did_you_mean(name, list(PARAMETERS)) + " (a plugin's own parameters start with custom_)"
            faults.append(Fault(f"{where}.{name}", "an unknown parameter", "a parameter of fdsearch", fix))
        elif not PARAMETERS[name].valid(value):
            parameter = PARAMETERS[name]
            fix = f"change it, or leave it out for the default, {parameter.default}"
            faults.append(Fault(f"{where}.{name}", repr(value), parameter.expected, fix))
    return faults


def defaults_of(backbone: str) -> dict[str, Value]:
    """The defaults of all parameters; `image_size`, `phases` and `dropout` are the backbone's own."""
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items()}
    defaults["image_size"] = OWN_SIZES.get(backbone, DEFAULT_SIZE)
    if backbone in FROM_SCRATCH:
        defaults |= {"phases": "full", "dropout": 0.0}
    return defaults
