"""From a trial's flat parameters to the configuration that is trained.

`TrialConfig.from_params` fills a point of the space with the defaults of `parameters` and turns it into phases. Nothing
here trains or draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fdsearch.errors import ConfigError
from fdsearch.parameters import PARAMETERS, defaults_of, parameter_faults
from fdsearch.space import Value

PRESETS: dict[str, tuple[tuple[str, float], ...]] = {
    "probe": (),
    "head": (("head", 1.0),),
    "tail": (("tail", 1.0),),
    "head_tail": (("head", 0.25), ("tail", 0.75)),
    "head_mid_deep": (("head", 0.2), ("mid", 0.3), ("deep", 0.5)),
    "full": (("full", 1.0),),
}
"""Phase presets: the trained phases in order, each with its share of the epochs."""


@dataclass(frozen=True)
class Phase:
    """One stretch of training with one set of trainable layers.

    Parameters
    ----------
    name : {"probe", "head", "tail", "mid", "deep", "full"}
        ``probe`` is the logistic regression on pooled features; the others are gradient descent.
    unfreeze : float
        Share of the backbone's blocks, counted from the head, that are trained; 0 is the head alone, 1 everything.
    unfreeze_layers : int or None
        Number of layers instead of a share, as the ribbon-bond write-up counts them.
    learning_rate : float
        Peak rate of the phase.
    epochs : int
        Planned length; the schedule's horizon.
    """

    name: str
    unfreeze: float = 0.0
    unfreeze_layers: int | None = None
    learning_rate: float = 0.0
    epochs: int = 0


@dataclass(frozen=True)
class EarlyStopping:
    """When a phase ends early.

    `monitor` is ``none``, ``macro_f1``, ``loss`` or ``both`` (either may end the phase); an improvement is a change by
    at least `min_delta`; a phase ends after `patience` epochs without one. Epochs before `start_epoch` (0-based, in the
    phase) are not looked at, as in Keras's ``start_from_epoch``.
    """

    monitor: str = "none"
    patience: int = 7
    min_delta: float = 0.0
    start_epoch: int = 0


@dataclass(frozen=True)
class TrialConfig:
    """Everything that decides what one trial trains, apart from pictures and seeds.

    Parameters
    ----------
    backbone : str
        Name in the table of builders.
    image_size : int
        Side of the square input, pixels.
    resize, exposure, pooling, feature_layers, head, weights, head_init : str
        See `RESIZE_POLICIES`, `EXPOSURES`, `POOLINGS`, `FEATURE_LAYERS`, `HEADS`, `WEIGHTS`, `HEAD_INITS`.
    phases : tuple of Phase
        In order. A leading ``probe`` phase initialises the head; alone it is the whole training.
    schedule : str
        Shape of the learning rate inside each phase; `warmup` is its rising share, 0 to 1.
    class_weighting : float
        Exponent of the inverse class frequency, 0 (none) to 1 (balanced).
    subsample : {"none", "balanced"}
        ``balanced`` trains on as many pictures of each class as the rarest has.
    augmentation : float
        Strength over `augmentation_policy`, 0 (none) to 1.
    augmentation_views : int
        Number of variations of each picture that the epochs take in turn; 0 is a new one for each epoch.
    layer_decay : float
        Factor on the learning rate for each block further from the head; 1 is none.
    l2_sp : float
        Strength of the pull of trained backbone weights towards the pretrained ones.
    weight_average : {"none", "ema", "swa"}
        What the last phase's weights are: the last step's, a running mean over its steps, or the mean over the ends of
        the last quarter of its epochs.
    deferred_weighting : float
        Share of the planned gradient epochs, the first ones, that `class_weighting` does not reach yet.
    sampling : {"shuffled", "balanced"}
        ``balanced`` draws as many pictures in each epoch, of all classes equally many.
    mixup : float
        Parameter of the beta distribution by which two pictures of a batch are mixed, or what a phase's frozen layers
        give of them; 0 is none.
    probe_views : int
        Views of each picture that a probe is fitted on; 1 is the picture alone.
    test_views : {1, 2, 4}
        Mirror images whose mean logits are the model's answer.
    batch_norm : {"frozen", "trained"}
        Whether unfrozen batch normalisation leaves inference mode.
    probe_c : float
        Inverse regularisation of the probe (scikit-learn's ``C`` on standardised features).
    custom : mapping
        Parameters named ``custom_*``, for builders and losses of plugins.
    """

    backbone: str
    image_size: int
    resize: str
    pooling: str
    weights: str
    head_init: str
    phases: tuple[Phase, ...]
    schedule: str
    warmup: float
    batch_size: int
    dropout: float
    optimizer: str
    weight_decay: float
    class_weighting: float
    subsample: str
    augmentation: float
    augmentation_policy: str
    loss: str
    label_smoothing: float
    focal_gamma: float
    batch_norm: str
    probe_c: float
    early_stopping: EarlyStopping
    custom: Mapping[str, Value]
    augmentation_views: int = 0
    exposure: str = "none"
    feature_layers: str = "last"
    head: str = "linear"
    layer_decay: float = 1.0
    l2_sp: float = 0.0
    weight_average: str = "none"
    deferred_weighting: float = 0.0
    sampling: str = "shuffled"
    mixup: float = 0.0
    probe_views: int = 1
    test_views: int = 1

    @property
    def epochs(self) -> int:
        """Planned epochs over all phases."""
        return sum(phase.epochs for phase in self.phases)

    @classmethod
    def from_params(cls, params: Mapping[str, Value]) -> TrialConfig:
        """Resolve flat parameters; what is not named has the default of `parameters.PARAMETERS`,
        `image_size` and `phases` those of the backbone.

        Raises
        ------
        ConfigError
            With every unknown name and wrong value.

        Examples
        --------
        >>> config = TrialConfig.from_params({"phases": "head_tail", "unfreeze": 0.3, "epochs": 8})
        >>> [(phase.name, phase.epochs, phase.unfreeze) for phase in config.phases]
        [('probe', 0, 0.0), ('head', 2, 0.0), ('tail', 6, 0.3)]
        """
        faults = parameter_faults(params)
        if faults:
            raise ConfigError("the trial's parameters have faults", faults)
        full = {**defaults_of(params.get("backbone", PARAMETERS["backbone"].default)), **params}
        keys = {field.name for field in fields(cls)} - {"phases", "early_stopping", "custom"}
        return cls(
            **{key: full[key] for key in keys},
            phases=_phases(full),
            early_stopping=EarlyStopping(
                full["early_stopping"], full["patience"], full["min_delta"], full["start_epoch"]
            ),
            custom={name: value for name, value in params.items() if name.startswith("custom_")},
        )

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TrialConfig:
        """The inverse of `to_json`."""
        values = dict(raw)
        values["phases"] = tuple(Phase(**phase) for phase in raw["phases"])
        values["early_stopping"] = EarlyStopping(**raw["early_stopping"])
        return cls(**values)


def _phases(full: Mapping[str, Value]) -> tuple[Phase, ...]:
    preset = PRESETS[full["phases"]]
    needs_probe = full["phases"] == "probe" or (full["head_init"] == "probe" and full["phases"] != "full")
    phases = [Phase("probe")] if needs_probe else []
    for index, ((name, _), epochs) in enumerate(zip(preset, _shared_epochs(full["epochs"], preset), strict=True)):
        if epochs == 0:
            continue
        share, layers = _depth(name, index, full)
        rate = full["learning_rate"] * full["phase_decay"] ** index
        phases.append(Phase(name, share, layers, rate, epochs))
    return tuple(phases)


def _depth(name: str, index: int, full: Mapping[str, Value]) -> tuple[float, int | None]:
    if name == "head":
        return 0.0, None
    if name == "full":
        return 1.0, None
    counts = full["unfreeze_layers"]
    if counts is not None:
        return 0.0, counts[min(index - 1, len(counts) - 1)]
    # The middle phase opens a third of what the last one opens, as 30 of 100 layers in the write-up.
    return (full["unfreeze"] / 3 if name == "mid" else full["unfreeze"]), None


def _shared_epochs(total: int, preset: tuple[tuple[str, float], ...]) -> list[int]:
    """Share epochs among phases; later phases win where there are fewer epochs than phases."""
    if not preset:
        return []
    shares = [max(1, round(total * share)) for _, share in preset]
    shares[-1] = total - sum(shares[:-1])
    for index in range(len(shares) - 1):
        while shares[-1] < 1 and shares[index] > 0:
            shares[index] -= 1
            shares[-1] += 1
    return shares
