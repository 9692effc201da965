"""Database calls that outlive a restart of the server: each is tried again for some minutes.

An Optuna storage makes one transaction per call, so a call that lost its connection was, as a rule, not carried out.
The exceptions (the answer was lost, not the call) are seen by `ledger`, which compares what it told with what is
stored.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

PATIENCE_S = 300.0
"""How long a server may be away. Its restart takes seconds, that of its machine minutes."""
OPENING_S = 5.0
"""How long when a study is opened: whoever mistyped the address should be told soon."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0

_CALLS = (
    *("create_new_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name"),
    *("get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs"),
    *("get_all_studies", "_create_new_trial", "_set_trial_param", "get_trial_id_from_study_id_trial_number"),
    *("set_trial_state_values", "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr"),
    *("get_trial", "_get_trials"),
)


def patient_storage() -> type[RDBStorage]:
    """`RDBStorage` whose calls wait for a server that is away; `patience` makes others of its calls wait too."""
    from optuna.storages import RDBStorage

    patience = Patience(PATIENCE_S)
    calls = {name: patience(getattr(RDBStorage, name)) for name in _CALLS}
    return type("PatientStorage", (RDBStorage,), {**calls, "patience": staticmethod(patience)})


class Patience:
    """Makes calls wait for one server, some `seconds` each; once given up, it is not waited for again."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._given_up = seconds, False
        self.should_stop: Callable[[], bool] = lambda: False
        """Asked between two tries; True gives the server up."""

    def __call__(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, tried again while the server is away."""

        @functools.wraps(call)
        def again(*arguments: Any, **options: Any) -> Any:
            give_up, pause = time.monotonic() + self._seconds, FIRST_PAUSE_S
            while True:
                try:
                    return call(*arguments, **options)
                except Exception as error:
                    if not lost_connection(error) or self._is_over(give_up - pause):
                        raise
                # Spread, so that several parents do not fall upon a server that has just come back all at once.
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE_S)

        return again

    def _is_over(self, last: float) -> bool:
        self._given_up = self._given_up or time.monotonic() > last or self.should_stop()
        return self._given_up


def lost_connection(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the server is away, starting or stopping."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

    while error is not None:
        if isinstance(error, DBAPIError) and (error.connection_invalidated or _stood_still(error.orig)):
            return True
        if isinstance(error, (OperationalError, InterfaceError)) and _is_of_connection(error.orig):
            return True
        # Optuna goes on in a transaction whose connection broke; SQLAlchemy then complains about that instead.
        error = error.__cause__ or (error.__context__ if isinstance(error, PendingRollbackError) else None)
    return False


def _stood_still(error: BaseException | None) -> bool:
    """Whether the server ended our transaction because we did nothing for long: this process was stopped."""
    return getattr(error, "sqlstate", None) == "25P03"


def _is_of_connection(error: BaseException | None) -> bool:
    # SQLSTATE classes 08 (connection) and 57P (operator intervention: shutdown, starting up); without a state the
    # server was not reached at all. Others, such as a wrong password or a full disk, are not mended by waiting.
    state = getattr(error, "sqlstate", None)
    if state is None:
        return not _is_final(str(error))
    return str(state).startswith(("08", "57P"))


def _is_final(message: str) -> bool:
    """Whether an attempt to connect failed for good: the message is all that a refused start-up packet leaves."""
    final = ("password authentication", "does not exist", "no pg_hba.conf entry", "failed to resolve", "no password")
    return any(words in message for words in final)
