"""With what a study is worked on: workers and the database. None of it changes what a score means."""

from __future__ import annotations

from dataclasses import dataclass, field

from fdsearch.execution.machine import Machine


@dataclass(frozen=True)
class Means:
    """How a study is run, as opposed to what it asks.

    Parameters
    ----------
    machine : Machine
        Workers and devices.
    storage : str or None
        URL of a PostgreSQL database that several machines share; None is a SQLite file in the run folder, or what the
        run was started with.
    upgrade_storage : bool
        Upgrade a study database of Optuna 4 in place, after a backup, instead of refusing it.
    """

    machine: Machine = field(default_factory=Machine)
    storage: str | None = None
    upgrade_storage: bool = False
