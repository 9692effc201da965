"""Samplers by name."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from fdsearch.config import SearchSpec
from fdsearch.errors import ConfigError, Fault
from fdsearch.search.grid import grid_sampler
from fdsearch.space import SearchSpace

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

_START_UP_TRIALS = 8


def make_sampler(search: SearchSpec) -> BaseSampler:
    """Make the sampler of a study.

    It is seeded anew for each trial, by (random state, trial number): a sampler that is rebuilt with the same seed,
    after a restart for instance, would propose the points it proposed before, and two parents would propose the same.
    """
    from optuna.samplers import BaseSampler

    class Numbered(BaseSampler):
        """Passes everything on to a sampler of the trial's own."""

        def before_trial(self, study: Study, trial: FrozenTrial) -> None:
            self._inner = _of_trial(search, trial.number)
            self._inner.before_trial(study, trial)

        def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
            return self._inner.infer_relative_search_space(study, trial)

        def sample_relative(
            self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
        ) -> dict[str, Any]:
            return self._inner.sample_relative(study, trial, search_space)

        def sample_independent(
            self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
        ) -> Any:
            return self._inner.sample_independent(study, trial, param_name, param_distribution)

    return Numbered()


def _of_trial(search: SearchSpec, number: int) -> BaseSampler:
    import optuna
    from optuna import samplers

    seed = int(np.random.SeedSequence([search.random_state, number]).generate_state(1)[0])
    if search.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    if search.sampler == "grid":
        return grid_sampler(seed)
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
