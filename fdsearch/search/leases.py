"""Which parents of a shared study live: each keeps a lease in the study, and everybody can tell when one has ended.

A lease is one study attribute per parent. Clocks of two machines are never compared: a parent elsewhere is dead when
its counter has stood still for `STALE_S` seconds in which the observer kept looking, by the observer's own clock; one
on this machine as soon as its process is gone. On SQLite the run folder's lock makes all this needless.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Study

LEASE = "fdsearch:parent:"
PARENT = "fdsearch:parent"
BEAT_S = 10.0
STALE_S = 60.0


@dataclass(frozen=True)
class Parent:
    """One process that runs a study, told apart from every other that ever ran.

    Parameters
    ----------
    host : str
    boot : str
        Of this start of the machine: process ids begin anew with it.
    pids : str
        Name of the space in which `pid` means something: two containers of a machine count their processes each.
    pid : int
    start : str
        Ticks from boot to the start of the process, so that a later process of the same id is another.
    """

    host: str
    boot: str
    pids: str
    pid: int
    start: str

    @property
    def id(self) -> str:
        """A short name, the same for equal parents only."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:12]
        return f"{self.host[:48]}-{self.pid}-{digest}"

    def is_near(self, observer: Parent) -> bool:
        """Whether its process id means for an observer what it means for itself."""
        return (self.host, self.boot, self.pids) == (observer.host, observer.boot, observer.pids)

    def is_gone(self, observer: Parent) -> bool | None:
        """Whether its process has ended, as an observer sees it; None where that cannot be seen from there."""
        # Names of machines repeat, so another start of a machine of this name may be another machine, and alive.
        if (self.host, self.boot, self.pids) != (observer.host, observer.boot, observer.pids):
            return None
        return _start_of(self.pid) != self.start


def this_parent() -> Parent:
    """The calling process."""
    pids = Path("/proc/self/ns/pid")
    return Parent(
        host=os.uname().nodename,
        boot=_read(Path("/proc/sys/kernel/random/boot_id")),
        pids=str(pids.readlink()) if pids.is_symlink() else "",
        pid=os.getpid(),
        start=_start_of(os.getpid()),
    )


class Leases:
    """The parents of one study, seen by one of them.

    Parameters
    ----------
    study : optuna.Study
    me : Parent
    clock : callable
        Seconds of a clock that nobody sets.
    """

    def __init__(self, study: Study, me: Parent, clock: Callable[[], float] = time.monotonic) -> None:
        self._study, self._me, self._clock = study, me, clock
        self._beats = 0
        self._beaten: float | None = None
        self._looked: float | None = None
        self._seen: dict[str, int] = {}
        self._stood: dict[str, float] = {}
        self._ended: dict[str, bool] = {}

    def beat(self) -> None:
        """Renew the own lease if it is time; the first call takes it."""
        if self._beaten is None:  # an earlier search of this very process has counted before
            self._beats = int(self._study.user_attrs.get(LEASE + self._me.id, {}).get("beat", 0))
        if self._beaten is None or self._clock() - self._beaten >= BEAT_S:
            self._beats += 1
            self._write(beat=self._beats)
            self._beaten = self._clock()

    def end(self) -> None:
        """Give the own lease back."""
        if self._beaten is not None:
            self._write(beat=self._beats, ended=True)

    def look(self) -> None:
        """Read all leases."""
        stored_by_key = self._study.user_attrs
        now = self._clock()
        # While this parent or the server stood still itself, a beat that did not come proves nothing.
        passed = 0.0 if self._looked is None else min(now - self._looked, BEAT_S)
        self._looked = now
        self._stood = {owner: stood + passed for owner, stood in self._stood.items()}
        for key, stored in stored_by_key.items():
            if not key.startswith(LEASE) or key == LEASE + self._me.id:
                continue
            owner = key.removeprefix(LEASE)
            if self._seen.get(owner) != stored["beat"]:
                self._seen[owner], self._stood[owner] = stored["beat"], 0.0
            gone = Parent(**{name: stored[name] for name in asdict(self._me)}).is_gone(self._me)
            self._ended[owner] = bool(stored.get("ended")) or bool(gone)

    def is_dead(self, owner: str) -> bool:
        """Whether a parent has ended, by what `look` saw; `owner` is the id a trial carries, empty for none yet."""
        if owner == self._me.id:
            return False
        # A trial whose parent is unknown was taken a moment ago, or its parent was killed in that moment.
        stood = self._stood.setdefault(owner, 0.0)
        return self._ended.get(owner, False) or stood >= STALE_S

    def _write(self, **values: Any) -> None:
        self._study.set_user_attr(LEASE + self._me.id, {**asdict(self._me), **values})


def _start_of(pid: int) -> str:
    """Start time of a process in ticks since boot (field 22 of its ``stat``); empty if there is none."""
    stat = _read(Path(f"/proc/{pid}/stat"))
    # The name in parentheses may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended: only its exit code is left.
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
