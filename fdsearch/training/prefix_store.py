"""The folder of the prefix cache: which entries there are, room for new ones, and what killed writers left.

Entries are called ``GROUP-KEY`` (see `prefix_entry`). A description is written before its array and removed after it,
so no array is ever without one. ``GROUP.lock`` is held by whoever computes entries of a group; ``store.lock``, for
moments, by whoever makes room, gives an entry its name or clears. `features` decides what is stored under which name.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, ClassVar

from fdsearch.errors import Fault, FdsearchError
from fdsearch.files import sync_folder, write_json
from fdsearch.training import eviction, life, prefix_entry
from fdsearch.training.eviction import Space, Stored
from fdsearch.training.file_lock import hold, try_lock
from fdsearch.training.prefix_entry import Halves, description_of, size_and_time

_GROUP = re.compile(r"\.?([0-9a-f]{20,64})[-.]")


class NoRoom(FdsearchError):
    """The outputs of frozen layers do not fit the cache's budget or its disk (exit 7); train from the pictures."""

    exit_code: ClassVar[int] = 7


class PrefixStore:
    """Entries in one folder, shared by all networks, sets and processes.

    Parameters
    ----------
    folder : Path
        Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """The array of an entry."""
        return self.folder / f"{name}.npy"

    def entries(self) -> list[Stored]:
        """What is stored, whole or not, and who of it is in use."""
        with self._exclusive(life.sign):
            return self._look()

    def unfinished(self) -> list[Path]:
        """Arrays that are being written, or were when their writer was killed."""
        return [path for path in self.folder.glob("[!.]*.tmp") if _GROUP.match(path.name)]

    def space(self) -> Space:
        """What is held, what the disk has free, and the budget.

        Raises
        ------
        ConfigError
            If the budget that was asked for is no number.
        """
        held = sum(size_and_time(path)[0] for path in (*self.folder.glob("*.npy"), *self.unfinished()))
        existing = next(place for place in (self.folder, *self.folder.parents) if place.is_dir())
        free = shutil.disk_usage(existing).free
        return Space(held, free, eviction.budget_bytes(held, free))

    def open(self, name: str, shape: tuple[int, ...]) -> Halves | None:
        """Map an entry and note its use; None where it is absent, torn, or nothing that was written here."""
        return prefix_entry.map_entry(self.path(name), shape)

    def fits(self, sizes: Mapping[str, int]) -> bool:
        """Whether entries of these names and bytes can all be held at once, as things stand."""
        missing = sum(size for name, size in sizes.items() if size_and_time(self.path(name))[0] != size)
        if not missing:
            return True
        with self._exclusive(life.sign):
            return self._plan(missing, sizes) is not None

    @contextmanager
    def group(self, group: str) -> Iterator[None]:
        """Be the only process that computes entries of a group; waits, giving signs of life.

        Raises
        ------
        life.Stopped
            If the job is asked to end meanwhile.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with hold(self.folder / f"{group}.lock", life.sign_or_stop):
            self._sweep_group(group)
            yield

    @contextmanager
    def drafts(self, sizes: Mapping[str, int]) -> Iterator[dict[str, IO[bytes]]]:
        """Unfinished files for entries of these bytes, whose room is set aside; the group's lock must be held.

        Raises
        ------
        NoRoom
            If the budget cannot hold them, whatever goes. Nothing goes then.
        OSError
            If the disk is full nevertheless.
        """
        with ExitStack() as stack:
            streams: dict[str, IO[bytes]] = {}
            with self._exclusive(life.sign_or_stop):
                self._sweep()
                self._make_room(sum(sizes.values()))
                for name, size in sizes.items():
                    path = self.path(name).with_suffix(".tmp")
                    stack.callback(path.unlink, missing_ok=True)
                    streams[name] = stack.enter_context(path.open("wb"))
                    prefix_entry.begin(streams[name], size)
            yield streams

    def publish(self, drafts: Mapping[str, IO[bytes]], descriptions: Mapping[str, Mapping[str, Any]]) -> None:
        """Give written drafts their names.

        Raises
        ------
        ValueError
            If a draft was written with fewer or more bytes than its description says.
        """
        for name, stream in drafts.items():
            stream.flush()
            if stream.tell() != descriptions[name]["bytes"]:
                raise ValueError(f"{stream.tell()} bytes computed for {name}, not {descriptions[name]['bytes']}")
            os.fsync(stream.fileno())
        with self._exclusive(life.sign):  # what is finished is kept, whoever asks to stop
            for name in drafts:
                write_json(description_of(self.path(name)), descriptions[name])
                self.path(name).with_suffix(".tmp").replace(self.path(name))
            sync_folder(self.folder)

    def clear(self, before: float) -> tuple[list[Stored], list[Stored]]:
        """Remove the entries last used before a time (seconds since the epoch) and what killed writers left.

        Returns
        -------
        removed, kept : list of Stored
            Kept are those that are in use or being written.
        """
        if not self.folder.is_dir():
            return [], []
        with self._exclusive(life.sign):
            old = [entry for entry in self._look() if entry.used < before]
            kept = self._remove(old)
            removed = [entry for entry in old if entry not in kept]
            drafts = {path: Stored(path.stem, *size_and_time(path)) for path in self.unfinished()}
            self._sweep()
        for path, draft in drafts.items():
            (kept if path.exists() else removed).append(draft)
        return removed, kept

    def _look(self) -> list[Stored]:
        paths = self.folder.glob("*.npy")
        return [Stored(path.stem, *size_and_time(path), prefix_entry.in_use(path)) for path in paths]

    def _plan(self, needed: int, staying: Container[str] = ()) -> list[Stored] | None:
        """What must go for `needed` bytes; None where it is not enough."""
        excess = self.space().excess(needed)
        if excess <= 0:
            return []
        return eviction.plan((entry for entry in self._look() if entry.name not in staying), excess)

    def _make_room(self, needed: int) -> None:
        while True:
            going = self._plan(needed)
            if going is None:
                space = self.space()
                got = f"{needed:,} bytes; the budget is {space.budget:,}, the disk has {space.free:,} free"
                fix = f"set {eviction.ENVIRONMENT} higher, free space, or `fdsearch cache clear`"
                fault = Fault(str(self.folder), got, "room for the outputs of frozen layers", fix)
                raise NoRoom("the prefix cache has no room", [fault])
            # One that somebody has begun to use since then stays, and another goes instead.
            if not self._remove(going):
                return

    def _remove(self, entries: Iterable[Stored]) -> list[Stored]:
        """Remove entries; returns those that are in use and stay."""
        return [replace(entry, in_use=True) for entry in entries if not prefix_entry.remove(self.path(entry.name))]

    def _sweep(self) -> None:
        """Remove what killed writers left, and locks that nobody needs."""
        groups = defaultdict(list)
        for path in self.folder.iterdir():
            match = _GROUP.match(path.name)
            if match and not _is_at_rest(path):
                groups[match[1]].append(path)
        for group in groups:
            lock = self.folder / f"{group}.lock"
            handle = try_lock(lock)
            if handle is not None:
                self._sweep_group(group)
                lock.unlink(missing_ok=True)
                os.close(handle)

    def _sweep_group(self, group: str) -> None:
        """Remove the unfinished files and lonely descriptions of a group whose lock is held."""
        for path in (*self.folder.glob(f"{group}[-.]*"), *self.folder.glob(f".{group}[-.]*")):
            if path.suffix != ".lock" and not _is_at_rest(path):
                path.unlink(missing_ok=True)

    @contextmanager
    def _exclusive(self, waiting: Callable[[], object]) -> Iterator[None]:
        """Be the only one who looks who uses what, makes room, names or removes; empty folders need nobody's leave."""
        if not self.folder.is_dir():
            yield
            return
        with hold(self.folder / "store.lock", waiting):
            yield


def _is_at_rest(path: Path) -> bool:
    """Whether a file is an array, or describes one."""
    return path.suffix == ".npy" or (path.suffix == ".json" and path.with_suffix(".npy").exists())
