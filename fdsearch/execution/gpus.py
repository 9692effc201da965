"""Which GPUs the workers may use, and what memory is free on them.

`slots` deals the GPUs to workers, `room` asks again before a worker is started. Asked by `nvidia-smi`, which comes with
every driver and answers from a process of its own, so that a broken driver cannot take the parent with it.
"""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from fdsearch.errors import ConfigError, Fault

DRIVERS = Path("/proc/driver/nvidia/gpus")
_QUESTION = ["nvidia-smi", "--query-gpu=index,uuid,memory.total,memory.free,name", "--format=csv,noheader,nounits"]
_DEAD = ("lost", "err", "reset")
"""Parts of what stands in place of a figure where a GPU has failed: "[GPU is lost]", "[Unknown Error]", "ERR!"."""
_TIMEOUT_S = 10.0
"""Without persistence mode the driver is loaded anew for each question, which takes seconds."""


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Parameters
    ----------
    name : str
        What a person calls it: its index as `nvidia-smi` counts, or what ``CUDA_VISIBLE_DEVICES`` says.
    address : str
        What CUDA calls it without doubt: its UUID where that is known. CUDA counts the fastest GPU first, `nvidia-smi`
        by slot, so that an index alone may mean two GPUs.
    total_mb, free_mb : int or None
        Memory of the whole GPU, MiB; None where the driver does not say (parts of a GPU under MIG).
    model : str or None
        Its product name.
    """

    name: str
    address: str
    total_mb: int | None = None
    free_mb: int | None = None
    model: str | None = None


def ask_driver() -> list[Gpu] | None:
    """All GPUs of this machine that work, by index; None where nobody answers."""
    try:
        # One dead GPU makes the command fail though it answers for the others.
        answer = subprocess.run(_QUESTION, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    found = [_parsed(row) for row in csv.reader(answer.stdout.splitlines())]
    alive = [gpu for gpu in found if gpu is not None]
    silent = answer.returncode == 0 and not answer.stdout.strip()
    return alive if alive or silent else None


def _parsed(row: list[str]) -> Gpu | None:
    """The GPU of one row; None for other words, and for a GPU that has failed."""
    cells = [cell.strip() for cell in row]
    if len(cells) != 5 or not cells[0].isdigit() or any(mark in cell.lower() for cell in cells[2:4] for mark in _DEAD):
        return None
    index, uuid, total, free, model = cells
    return Gpu(index, uuid, _mebibytes(total), _mebibytes(free), model)


def _mebibytes(cell: str) -> int | None:
    """A figure; the driver says "[N/A]" where it has none, as for GPUs that share the host's memory."""
    return int(cell) if cell.isdigit() else None


def visible_gpus(environment: Mapping[str, str], drivers: Path = DRIVERS) -> tuple[Gpu, ...]:
    """The GPUs that workers may be given: those ``CUDA_VISIBLE_DEVICES`` leaves, else all of the machine.

    Parameters
    ----------
    environment : mapping
    drivers : Path
        Where the driver lists its GPUs, for machines without `nvidia-smi`.
    """
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None and not _words(named):
        return ()
    known = ask_driver()
    if named is None:
        return tuple(known if known is not None else map(_unknown, map(str, range(_count(drivers)))))
    if known is None:  # nobody can say what exists; CUDA will
        return tuple(map(_unknown, dict.fromkeys(_words(named))))
    found = [_find(word, known) for word in _words(named)]
    # As CUDA does: what follows a GPU that does not exist is not visible either.
    return tuple(dict.fromkeys(gpu for gpu in takewhile(lambda gpu: gpu is not None, found) if gpu is not None))


def chosen_gpus(
    names: tuple[str, ...] | None, environment: Mapping[str, str], drivers: Path = DRIVERS
) -> tuple[Gpu, ...]:
    """The GPUs a person asked for.

    Parameters
    ----------
    names : tuple of str or None
        Indices or UUIDs (their beginning is enough). Where ``CUDA_VISIBLE_DEVICES`` is set, an index is a place in it,
        from 0, as in every CUDA program; else it is that of `nvidia-smi`. None takes all that are visible.
    environment : mapping
    drivers : Path
        See `visible_gpus`.

    Raises
    ------
    ConfigError
        If a GPU does not exist or is not visible; names all such, and those that can be used. If
        ``CUDA_VISIBLE_DEVICES`` counts GPUs that differ, and does not say how.
    """
    visible = visible_gpus(environment, drivers)
    if names != ():
        _check_count(environment)
    if names is None:
        return visible
    by_cuda = "CUDA_VISIBLE_DEVICES" in environment
    by_name = {name: _pick(name, visible, by_cuda) for name in names}
    usable = ", ".join(f"{place if by_cuda else gpu.name} ({gpu.address})" for place, gpu in enumerate(visible))
    expected = f"one of {usable}" if usable else "no name: this machine has no GPU that may be used"
    fix = "CUDA_VISIBLE_DEVICES hides the others; indices count within it" if by_cuda else "see nvidia-smi -L"
    faults = [Fault("gpus", name, expected, fix) for name, gpu in by_name.items() if gpu is None]
    if faults:
        raise ConfigError("a GPU that was asked for cannot be used", faults)
    return tuple(dict.fromkeys(gpu for gpu in by_name.values() if gpu is not None))


def _check_count(environment: Mapping[str, str]) -> None:
    """Refuse indices that CUDA, which by default counts the fastest GPU first, may take for other GPUs than we do."""
    named = environment.get("CUDA_VISIBLE_DEVICES", "")
    counted = any(word.isdigit() for word in _words(named))
    if not counted or environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return
    if len({(gpu.model, gpu.total_mb) for gpu in ask_driver() or []}) > 1:
        expected = "UUIDs, as nvidia-smi -L shows them: the GPUs differ, and CUDA counts them in an order of its own"
        fault = Fault("CUDA_VISIBLE_DEVICES", named, expected, "or set CUDA_DEVICE_ORDER=PCI_BUS_ID")
        raise ConfigError("it is not clear which GPUs are meant", [fault])


def _unknown(name: str) -> Gpu:
    return Gpu(name, name)


def _words(named: str) -> list[str]:
    """The GPUs a variable lists; -1 ends the list."""
    words = [word.strip() for word in named.split(",")]
    return [word for word in takewhile(lambda word: word != "-1", words) if word]


def _find(word: str, known: list[Gpu]) -> Gpu | None:
    """The GPU that a word of ``CUDA_VISIBLE_DEVICES`` means; parts of a GPU are not among those the driver lists."""
    if word.startswith("MIG-"):
        return _unknown(word)
    return next((gpu for gpu in known if word == gpu.name or _begins(gpu, word)), None)


def _pick(name: str, visible: tuple[Gpu, ...], by_cuda: bool) -> Gpu | None:
    if name.isdigit():  # without the variable a place is not enough: a GPU that has failed leaves a gap
        return next((gpu for place, gpu in enumerate(visible) if name == (str(place) if by_cuda else gpu.name)), None)
    return next((gpu for gpu in visible if _begins(gpu, name)), None)


def _begins(gpu: Gpu, word: str) -> bool:
    return word.startswith(("GPU-", "MIG-")) and gpu.address.startswith(word)


def _count(drivers: Path) -> int:
    try:
        return sum(1 for _ in drivers.iterdir())
    except OSError:
        return 0
