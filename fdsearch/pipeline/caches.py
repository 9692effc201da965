"""`cache list` and `cache clear`: what the caches under a root hold, in words, and what can go.

Two kinds: ``pixels``, the decoded pictures of `data.images`, which a running study needs, and ``prefix``, the outputs
of frozen layers of `training.features`, which are computed again where they are missed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fdsearch.data.pixel_file import sweep
from fdsearch.search.ownership import holder
from fdsearch.training.eviction import Stored
from fdsearch.training.prefix_entry import describe, size_and_time
from fdsearch.training.prefix_store import PrefixStore
from fdsearch.workspace import Workspace

Kind = Literal["pixels", "prefix"]
Row = dict[str, Any]


def list_caches(root: Path) -> Row:
    """What the caches hold.

    Returns
    -------
    dict
        ``entries[{kind, what, bytes, last_used, in_use, path, about}]``, last used first, ``total_bytes, prefix_bytes,
        prefix_budget_bytes, free_bytes``.

    Raises
    ------
    ConfigError
        If ``FDSEARCH_CACHE_GB`` is no number.
    """
    workspace = Workspace(root.resolve())
    store = PrefixStore(workspace.prefix)
    rows = [_prefix_row(store, entry, describe(store.path(entry.name))) for entry in store.entries()]
    rows += [_row("prefix", path, "being written", in_use=True) for path in store.unfinished()]
    rows += [_row("pixels", path, _pixels_in_words(path)) for path in _pixel_files(workspace)]
    space = store.space()
    return {
        "entries": sorted(rows, key=lambda row: str(row["last_used"]), reverse=True),
        "total_bytes": sum(row["bytes"] for row in rows),
        "prefix_bytes": space.held,
        "prefix_budget_bytes": space.budget,
        "free_bytes": space.free,
    }


def clear_caches(root: Path, kind: Kind | None = None, older_than: float | None = None) -> Row:
    """Remove what the caches hold, except what is in use: decoded pictures while a study of the root runs among it.

    Parameters
    ----------
    root : Path
    kind : {"pixels", "prefix"}, optional
        Default both.
    older_than : float, optional
        Seconds; what was used since then stays.

    Returns
    -------
    dict
        ``removed[], kept[]`` (entries as in `list_caches`; what is kept has a ``why``) and ``freed_bytes``.
    """
    workspace = Workspace(root.resolve())
    before = math.inf if older_than is None else time.time() - older_than
    removed: list[Row] = []
    kept: list[Row] = []
    for name, clear in (("pixels", _clear_pixels), ("prefix", _clear_prefix)):
        if kind in (None, name):
            gone, stayed = clear(workspace, before)
            removed += gone
            kept += stayed
    return {"removed": removed, "kept": kept, "freed_bytes": sum(row["bytes"] for row in removed)}


def _clear_prefix(workspace: Workspace, before: float) -> tuple[list[Row], list[Row]]:
    store = PrefixStore(workspace.prefix)
    said = {entry.name: describe(store.path(entry.name)) for entry in store.entries()}  # while it can be read
    removed, kept = (
        [_prefix_row(store, entry, said.get(entry.name)) for entry in found] for found in store.clear(before)
    )
    return removed, [row | {"why": "a process reads or writes it"} for row in kept]


def _clear_pixels(workspace: Workspace, before: float) -> tuple[list[Row], list[Row]]:
    running = [folder.name for folder in sorted(workspace.runs.glob("*/")) if holder(folder) is not None]
    rows = {path: _row("pixels", path, _pixels_in_words(path)) for path in _pixel_files(workspace)}
    old = {path: row for path, row in rows.items() if _used(path) < before}
    if running:
        return [], [row | {"why": f"{', '.join(running)} is running"} for row in old.values()]
    sweep(workspace.pixels)
    for path in old:
        if path.suffix != ".tmp":
            path.unlink(missing_ok=True)
    kept = [row | {"why": "it may be being written"} for path, row in old.items() if path.exists()]
    return [row for path, row in old.items() if not path.exists()], kept


def _pixel_files(workspace: Workspace) -> list[Path]:
    patterns = ("*.npy", "files.json", ".pixels-*.tmp")
    return [path for pattern in patterns for path in workspace.pixels.glob(pattern)]


def _pixels_in_words(path: Path) -> str:
    if path.suffix == ".npy":
        _, size, resize = path.stem.rsplit("-", 2) if path.stem.count("-") >= 2 else ("", "?", "?")
        return f"decoded pictures, {size} px, {resize}"
    return "being written" if path.suffix == ".tmp" else "what is known about picture files"


def _used(path: Path) -> float:
    """When a file was last read, as far as the system keeps that time, else when it was written."""
    try:
        status = path.stat()
    except OSError:
        return 0.0
    return max(status.st_atime, status.st_mtime)


def _prefix_row(store: PrefixStore, entry: Stored, said: Mapping[str, Any] | None) -> Row:
    row = _row("prefix", store.path(entry.name), _prefix_in_words(said), in_use=entry.in_use)
    return row | {"bytes": entry.size, "last_used": _moment(entry.used), "about": said}


def _prefix_in_words(said: Mapping[str, Any] | None) -> str:
    """What an entry is.

    Examples
    --------
    >>> said = {"backbone": "lite0", "size": 224, "resize": "pad", "cut": "b5_add", "shape": [9, 14, 14, 112]}
    >>> _prefix_in_words(said)
    'lite0 at 224 px (pad) up to b5_add: 14 x 14 x 112 for each of 9 pictures'
    """
    shape = (said or {}).get("shape")
    if said is None or not isinstance(shape, list) or not shape:
        return "of another version of fdsearch, or foreign"
    form = " x ".join(map(str, shape[1:]))
    words = f"{said.get('backbone')} at {said.get('size')} px ({said.get('resize')}) up to {said.get('cut')}: {form}"
    view = said.get("view")
    changed = f"; changed: {_pairs(view.items())}" if isinstance(view, dict) else ""
    return f"{words} for each of {shape[0]} pictures{changed}"


def _pairs(items: Iterable[tuple[object, object]]) -> str:
    return ", ".join(f"{key} {value}" for key, value in items)


def _row(kind: str, path: Path, what: str, *, in_use: bool = False) -> Row:
    size, _ = size_and_time(path)
    row = {"kind": kind, "what": what, "bytes": size, "last_used": _moment(_used(path))}
    return row | {"in_use": in_use, "path": str(path), "about": None}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
