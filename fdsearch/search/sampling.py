"""Samplers and pruners by name."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from fdsearch.config import SearchSpec
from fdsearch.errors import ConfigError, Fault
from fdsearch.space import SearchSpace

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

_START_UP_TRIALS = 8
_TRIALS_BEFORE_PRUNING = 4
_EPOCHS_BEFORE_PRUNING = 2
_FOLDS_BEFORE_PRUNING = 2
_HYPERBAND_TRIALS = 100
_KEPT = {"median": 0.50, "percentile": 0.75}
"""Share of the trials that go on."""


def make_sampler(search: SearchSpec, number: int) -> BaseSampler:
    """Make the sampler of one trial.

    Seeded by (random state, trial number): a sampler that is rebuilt with the same seed, after a restart for instance,
    would propose the points it proposed before.
    """
    import optuna
    from optuna import samplers

    seed = int(np.random.SeedSequence([search.random_state, number]).generate_state(1)[0])
    if search.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    if search.sampler == "grid":
        return samplers.BruteForceSampler(seed=seed)
    with warnings.catch_warnings():
        # `group` keeps the parameters of one branch of a conditional space together; Optuna calls it experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return samplers.TPESampler(n_startup_trials=_START_UP_TRIALS, multivariate=True, group=True, seed=seed)


def check_sampler(search: SearchSpec, space: SearchSpace) -> None:
    """Refuse a grid over a range that has no grid.

    Raises
    ------
    ConfigError
        With every continuous parameter that lacks a step.
    """
    if search.sampler != "grid":
        return
    faults = [
        Fault(f"$.space.{distribution.name}", "a range without step", "a finite set", "add `step:` or use categorical")
        for distribution in space.distributions
        if distribution.kind == "float" and distribution.step is None
    ]
    if faults:
        raise ConfigError("a grid needs a finite space", faults)


def make_pruner(search: SearchSpec, n_steps: int) -> BasePruner:
    """Make the pruner; `n_steps` is the largest number of steps of a trial (epochs of the first fold + folds)."""
    from optuna import pruners

    if search.pruner == "none":
        return pruners.NopPruner()
    if search.pruner == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=n_steps)
    return pruners.PercentilePruner(
        100 * _KEPT[search.pruner],
        n_startup_trials=_TRIALS_BEFORE_PRUNING,
        n_warmup_steps=_EPOCHS_BEFORE_PRUNING,
        n_min_trials=_TRIALS_BEFORE_PRUNING,
    )


def pruner_warning(search: SearchSpec) -> str | None:
    """What a person should know about the pruner they chose."""
    if search.pruner == "hyperband" and search.n_trials < _HYPERBAND_TRIALS:
        return (
            f"hyperband splits {search.n_trials} trials among brackets that each start at random; "
            f"below {_HYPERBAND_TRIALS} trials median is the better pruner"
        )
    return None


def loses_between_folds(search: SearchSpec, n_folds: int, value: float, others: list[float]) -> bool:
    """Whether a pooled score after some folds is below what finished trials had after the same folds.

    One fold proves nothing: on few parts a configuration's single folds lie further apart than configurations do.

    Optuna's pruners compare best-so-far values; between folds that would let one lucky epoch of the first fold stand
    for the pooled score, so the comparison here is step by step.
    """
    if search.pruner in ("none", "hyperband") or n_folds < _FOLDS_BEFORE_PRUNING:
        return False
    if len(others) < _TRIALS_BEFORE_PRUNING:
        return False
    return value < float(np.quantile(others, 1 - _KEPT[search.pruner]))
