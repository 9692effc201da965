"""Whether a GPU has memory for one worker more: other programs use the box too.

Asked by `pool` before it starts a worker. Only slots without a worker ask, because a living worker's share is its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from fdsearch.execution import gpus
from fdsearch.execution.slots import Slot

FRESH_S = 5.0
"""Seconds an answer of the driver is believed."""
SETTLE_S = 60.0
"""Seconds a new worker has to take its share, which is counted as taken meanwhile; a cold TensorFlow loads in 40 s."""


class Room:
    """What the driver last said about free memory."""

    def __init__(self) -> None:
        self._free: dict[str, int] = {}
        self._asked: float | None = None

    def of(self, vacant: Sequence[Slot], young: Iterable[Slot], *, grace_s: float = 0.0) -> list[Slot]:
        """The vacant slots that can be taken now, in their order.

        Parameters
        ----------
        vacant : sequence of Slot
            Slots without a worker.
        young : iterable of Slot
            Slots whose worker was started less than `SETTLE_S` ago.
        grace_s : float
            Seconds an answer of the driver is believed beyond `FRESH_S`.
        """
        if all(slot.share_mb is None for slot in vacant):
            return list(vacant)
        left = dict(self._measured(grace_s))
        for slot in young:
            _take(slot, left)
        found = []
        for slot in vacant:
            if _covers(slot, left):
                _take(slot, left)
                found.append(slot)
        return found

    def shortage(self, slots: Iterable[Slot]) -> str:
        """Why slots cannot be taken, for a person."""
        return "; ".join([*dict.fromkeys(map(self._short, slots)), "waiting for it"])

    def _short(self, slot: Slot) -> str:
        free = self._free.get(slot.gpu.address if slot.gpu else "")
        found = "its driver does not answer" if free is None else f"{free} MB of its memory are free"
        return f"{slot.place}: {found}, a worker needs {slot.share_mb} MB"

    def forget(self) -> None:
        """A worker ended: what it held is free now."""
        self._asked = None

    def _measured(self, grace_s: float) -> dict[str, int]:
        if self._asked is None or time.monotonic() - self._asked > FRESH_S + grace_s:
            answer = gpus.ask_driver() or []
            self._free = {gpu.address: gpu.free_mb for gpu in answer if gpu.free_mb is not None}
            self._asked = time.monotonic()
        return self._free


def _covers(slot: Slot, left: dict[str, int]) -> bool:
    return slot.gpu is None or slot.share_mb is None or left.get(slot.gpu.address, 0) >= slot.share_mb


def _take(slot: Slot, left: dict[str, int]) -> None:
    """Take a slot's share off what is left of its GPU."""
    if slot.gpu is not None and slot.share_mb is not None:
        left[slot.gpu.address] = left.get(slot.gpu.address, 0) - slot.share_mb
