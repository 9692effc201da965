"""What the load drill is measured against: Optuna's own ask and tell, in one process, without anything of fdsearch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Template:
    """What every trial writes, taken from a finished trial of ours so that the two stay equal."""

    attributes: Mapping[str, Any]
    values: Mapping[int, float]

    @classmethod
    def of(cls, trial: FrozenTrial) -> Template:
        """The user attributes and intermediate values of a trial."""
        return cls(dict(trial.user_attrs), dict(trial.intermediate_values))


def bare_study(url: str) -> Study:
    """A new study as Optuna makes it by default."""
    import optuna

    return optuna.create_study(
        storage=url, study_name="bare", direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0)
    )


def ask_and_tell(study: Study, template: Template, n_trials: int) -> None:
    """Run trials that write what the template wrote."""
    for _ in range(n_trials):
        trial = study.ask()
        point = trial.suggest_int("custom_point", 0, 10**12)
        trial.suggest_float("custom_rate", 1e-5, 1e-2, log=True)
        trial.suggest_categorical("custom_kind", ["a", "b", "c"])
        for name, attribute in template.attributes.items():
            trial.set_user_attr(name, attribute)
        for step, value in template.values.items():
            trial.report(value, step)
        study.tell(trial, point % 100 / 100)
