"""Queues the second half of a search's opening, the best probes trained deeper, once all its probes have ended.

`loop` calls it before it starts trials; `opening` says which points these are. Every parent of a shared study looks,
and one of them queues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fdsearch.search import study as names
from fdsearch.search.history import is_feasible
from fdsearch.search.ledger import Ledger
from fdsearch.search.opening import Probe, deeper_points, is_probe, whole
from fdsearch.search.server import alone
from fdsearch.search.study import enqueue
from fdsearch.space import SearchSpace

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


class Deepening:
    """The deeper trials of one study.

    Parameters
    ----------
    study : optuna.Study
    space : SearchSpace
    ledger : Ledger
    say : callable
        Told what a person should know.
    """

    def __init__(self, study: Study, space: SearchSpace, ledger: Ledger, say: Callable[[str], None]) -> None:
        self._study, self._space, self._ledger, self._say = study, space, ledger, say
        self._done = False
        self._seen = -1

    def look(self) -> None:
        """Queue the deeper trials if it is time; looks only where a trial has ended since the last call."""
        n_ended = self._ledger.n_finished + self._ledger.counts["FAIL"]
        if self._done or n_ended == self._seen:
            return
        self._seen = n_ended
        self._done = not self._study.user_attrs.get(names.DEEPER, 0)
        if self._done or self._probes() is None:
            return
        with alone(self._study._storage, f"deepen {self._study.study_name}"):
            self._queue()
        self._done = True
        self._ledger.read()

    def _queue(self) -> None:
        """Queue the points, then mark it; after a kill between the two the same points are found queued."""
        limit = int(self._study.user_attrs.get(names.DEEPER, 0))
        points = deeper_points(self._space, self._probes() or [], limit) if limit else []
        for line in enqueue(self._study, self._space, points):
            self._say(line)
        self._study.set_user_attr(names.DEEPER, 0)
        if points:
            self._say("the probes have ended; next: " + ", ".join(name for name, _ in points))

    def _probes(self) -> list[Probe] | None:
        """The complete probes among the study's first points; None while one of them may still become complete."""
        probes = []
        for trial in self._study.get_trials(deepcopy=False):
            if names.RECIPE not in trial.user_attrs or not self._is_probe(trial):
                continue
            if not trial.state.is_finished():
                return None
            if trial.state.name == "COMPLETE" and trial.value is not None and is_feasible(trial):
                probes.append(Probe(trial.number, trial.value, trial.params))
        return probes

    def _is_probe(self, trial: FrozenTrial) -> bool:
        # One that waits has no parameters yet, one that was killed as it drew has a part of them.
        return is_probe(whole(self._space, {**trial.system_attrs.get("fixed_params", {}), **trial.params}))
