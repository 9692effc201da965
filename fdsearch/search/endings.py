"""How a trial that this parent trained ends: the ledger is told, its checkpoint goes or stays, a person reads a line.

`loop` decides which end it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fdsearch.search import retries
from fdsearch.search import study as names
from fdsearch.search.attempt import Attempt
from fdsearch.search.ledger import Ledger
from fdsearch.training.job import Result
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from optuna import Study


class Endings:
    """Ends the trials of one search.

    Parameters
    ----------
    study : optuna.Study
    ledger : Ledger
    cost : callable
        Attributes that say what a configuration's model costs.
    say : callable
        Told what a person should know.
    """

    def __init__(
        self,
        study: Study,
        ledger: Ledger,
        cost: Callable[[TrialConfig], dict[str, Any]],
        say: Callable[[str], None],
    ) -> None:
        self._study, self._ledger, self._cost, self._say = study, ledger, cost, say

    def complete(self, attempt: Attempt) -> None:
        """All folds are done."""
        score = attempt.path[-1]
        cost = self._cost(attempt.config)
        attributes = {**attempt.attributes(), **cost}
        if self._ledger.complete(attempt.number, score, attempt.trial.params, attempt.path, attributes):
            attempt.end()
            self._say(f"trial {attempt.number}: macro F1 {score:.4f} ({attempt.described}){_in_words(cost)}")
        else:
            self._let_go(attempt)

    def prune(self, attempt: Attempt, why: str) -> None:
        """It is not worth its time, or there is none left."""
        if self._ledger.pruned(attempt.number, {**attempt.attributes(), **self._cost(attempt.config)}):
            attempt.end()
            self._say(f"trial {attempt.number} pruned {why} ({attempt.described})")
        else:
            self._let_go(attempt)

    def fail(self, attempt: Attempt, result: Result) -> bool:
        """A job of it failed; return False where it was lost with its process and is queued again."""
        failure = result.failure or "exception"
        if self._ledger.failed(attempt.number, failure, result.message):
            self._say(f"trial {attempt.number} was lost with its process ({failure}); queued again")
            return False
        self._say(f"trial {attempt.number} failed ({failure}): {result.last_words}")
        self._let_go(attempt)
        return True

    def drop(self, attempt: Attempt) -> None:
        """Somebody else has ended it."""
        self._say(f"the result of trial {attempt.number} was dropped: somebody else had ended the trial")
        self._let_go(attempt)
        self._ledger.read()

    def _let_go(self, attempt: Attempt) -> None:
        """Remove its checkpoint, unless somebody else gave it up and its retry may go on from here."""
        if not retries.is_continued(self._study, attempt.number):  # else the sweep of the next start looks again
            attempt.end()


def _in_words(cost: dict[str, Any]) -> str:
    if not cost:
        return ""
    if names.LATENCY not in cost:
        return ", no answer: its latency is not known"
    over = cost[names.OVER_LATENCY]
    return f", {cost[names.LATENCY]:.1f} ms a picture" + (f": {over:.1f} ms too slow, no answer" if over > 0 else "")
