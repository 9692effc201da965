"""The grid: Optuna's brute-force sampler, which here looks at whole points only, and whether it has one left.

`sampling` makes it, `ledger` asks before it takes a new trial.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fdsearch.search import study as names

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

_WHOLE = (names.CONFIG, names.DRAWN, names.LESSON_OF)


def grid_sampler(seed: int) -> BaseSampler:
    """Make the sampler of one trial of a grid."""
    sampler: BaseSampler = _sampler_class()(seed=seed)
    return sampler


def is_exhausted(study: Study) -> bool:
    """Whether each point of the grid has been tried or is being tried; queued trials are not looked at."""
    from optuna.samplers._brute_force import _TreeNode
    from optuna.trial import TrialState

    begun = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL)
    tree = _TreeNode()
    _sampler_class()._populate_tree(tree, study.get_trials(deepcopy=False, states=begun), {})
    return not tree.is_any_expandable(exclude_running=True)


@functools.cache
def _sampler_class() -> Any:
    from optuna.samplers import BruteForceSampler

    class Grid(BruteForceSampler):
        """Overlooks trials that ended before they had drawn all parameters.

        Its tree would have a leaf where other trials have branches, and Optuna refuses such a tree in every draw.
        """

        @staticmethod
        def _populate_tree(tree: Any, trials: list[FrozenTrial], params: dict[str, Any]) -> None:
            BruteForceSampler._populate_tree(tree, [trial for trial in trials if _counts(trial)], params)

    return Grid


def _counts(trial: FrozenTrial) -> bool:
    return not trial.state.is_finished() or any(name in trial.user_attrs for name in _WHOLE)
