"""What must hold at the end of every drill, read from the storage and the files by other code than what wrote them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drills.searching import IDENTITY, N_FOLDS, NAME
from drills.targets import CALLS, expected_score, torn_files

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass
class Findings:
    """Counts of one run, and what is wrong."""

    trials: int = 0
    attempts: int = 0
    lost: int = 0
    duplicated: int = 0
    faults: list[str] = field(default_factory=list)

    def expect(self, holds: bool, fault: str) -> None:
        """Note a fault where something does not hold."""
        if not holds:
            self.faults.append(fault)


def load_trials(location: str) -> list[FrozenTrial]:
    """All trials of a drill's study, by plain Optuna."""
    import optuna

    url = location if "://" in location else f"sqlite:///{location}"
    storage = optuna.storages.RDBStorage(url)
    try:
        study = optuna.load_study(study_name=f"{NAME}@{IDENTITY[:12]}", storage=storage)
        return study.get_trials(deepcopy=False)
    finally:
        storage.engine.dispose()


def check_points(trials: list[FrozenTrial], points: list[int], most_attempts: int) -> Findings:
    """Each enqueued point complete exactly once, with its own score, in few enough attempts."""
    ended = Counter(_point(trial) for trial in trials if trial.state.name == "COMPLETE")
    started = [trial for trial in trials if trial.datetime_start is not None]
    # A needless retry is dropped the moment it is popped: nothing is trained.
    attempts = [trial for trial in started if trial.user_attrs.get("fdsearch:failure") != "duplicate"]
    found = Findings(
        trials=len(trials),
        attempts=len(attempts),
        lost=sum(ended[point] == 0 for point in points),
        duplicated=sum(count - 1 for count in ended.values()) + len(ended.keys() - set(points)),
    )
    found.expect(not found.lost, f"{found.lost} points are not complete")
    found.expect(not found.duplicated, f"{found.duplicated} trials are complete that should not be")
    found.expect(len(attempts) <= most_attempts, f"{len(attempts)} attempts, more than {most_attempts}")
    check_rows(trials, found)
    return found


def check_calls(trials: list[FrozenTrial], shared: Path, found: Findings) -> None:
    """Without kills: every trial complete, and each call of the objective belongs to exactly one fold of one trial."""
    states = Counter(trial.state.name for trial in trials)
    found.expect(set(states) == {"COMPLETE"}, f"states are {dict(states)}")
    wanted = Counter(f"trial-{trial.number}-fold-{fold} {_point(trial)}" for trial in trials for fold in range(N_FOLDS))
    made = Counter(calls(shared))
    found.expect(not wanted - made, f"{(wanted - made).total()} folds have no call: {list(wanted - made)[:3]}")
    found.expect(not made - wanted, f"{(made - wanted).total()} calls belong to no fold: {list(made - wanted)[:3]}")


def check_files(shared: Path, found: Findings) -> dict[str, Any]:
    """Caches and registry whole; the registry's tally."""
    from fdsearch.errors import IntegrityError
    from fdsearch.registry.store import Registry

    torn = torn_files(shared)
    found.expect(not torn, f"torn: {torn[:5]}")
    if not (shared / "registry").is_dir():
        return {}
    try:
        return Registry(shared / "registry").verify()
    except IntegrityError as error:
        found.faults.append(f"registry: {error} {error.faults[:3]}")
        return {}


def check_sqlite(path: Path, found: Findings) -> None:
    """SQLite's own verdict on the file."""
    connection = sqlite3.connect(path)
    try:
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
    finally:
        connection.close()
    found.expect(verdict == "ok", f"integrity_check: {verdict}")


def calls(shared: Path) -> list[str]:
    """The calls of the objective so far, one line each."""
    path = shared / CALLS
    return path.read_text().splitlines() if path.exists() else []


def check_rows(trials: list[FrozenTrial], found: Findings) -> None:
    """Contiguous numbers, nothing left running, and every score that of its own parameters."""
    numbers = [trial.number for trial in trials]
    found.expect(numbers == list(range(len(trials))), "numbers are not contiguous")
    left = [trial.number for trial in trials if not trial.state.is_finished()]
    found.expect(not left, f"neither complete nor failed: {left[:10]}")
    wrong = [
        trial.number
        for trial in trials
        if trial.state.name == "COMPLETE" and abs((trial.value or 0.0) - expected_score(_point(trial))) > 1e-9
    ]
    found.expect(not wrong, f"scores that are not the point's: {wrong[:10]}")


def _point(trial: FrozenTrial) -> int:
    return int(trial.params.get("custom_point", -1))
