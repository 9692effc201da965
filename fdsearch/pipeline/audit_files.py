"""What an audit leaves in ``ROOT/audits/NAME``: its findings, the groups, a worklist and contact sheets.

`auditing` makes the findings. A worklist is named by what was found and never written over: a person edits it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fdsearch.data.corrections import Correction
from fdsearch.data.worklist import findings, worklist
from fdsearch.files import csv_bytes, csv_cell, disk_errors, write_atomic, write_json
from fdsearch.imaging import Gray
from fdsearch.report.audit_sheets import sheets
from fdsearch.report.contact_sheets import page_name, pages, thumbnail

FINDINGS = "audit.json"
"""Name of the file that holds them all."""


def stored_audit(folder: Path, key: str) -> dict[str, Any] | None:
    """The document of an earlier audit of the very same data, or None.

    Parameters
    ----------
    folder : Path
    key : str
        Digest of all that the findings depend on.
    """
    try:
        stored = json.loads((folder / FINDINGS).read_text("utf-8"))
        document = dict(stored["document"])
        files = [Path(document[name]) for name in ("groups_csv", "html", "worklist") if document[name]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = stored.get("key") == key and all(file.is_file() and file.parent == folder for file in files)
    return document if whole else None


def write_audit(
    folder: Path,
    name: str,
    key: str | None,
    document: Mapping[str, Any],
    earlier: Mapping[str, Correction],
    pictures: Mapping[str, Gray],
) -> dict[str, Any]:
    """Write an audit's files.

    Parameters
    ----------
    folder : Path
        Made if absent.
    name : str
        Of the study or the data set.
    key : str or None
        As in `stored_audit`; None for findings that must be made again.
    document : mapping
        What `data.audit` returns.
    earlier : mapping of str to Correction
        The corrections in force.
    pictures : mapping of str to ndarray of uint8, shape (h, w)
        Small pictures by filename.

    Returns
    -------
    dict
        The document without ``parts``, with ``groups_csv``, ``worklist`` (None where there is nothing to judge),
        ``html`` and ``json``: absolute paths.

    Raises
    ------
    ResourceError, StorageError
        If the disk is full, or the folder cannot be written.
    """
    with disk_errors(folder, "the audit"):
        folder.mkdir(parents=True, exist_ok=True)
        paths = {
            "groups_csv": str(_write_groups(folder, document["parts"])),
            "worklist": _write_worklist(folder, document, earlier),
            "html": str(_write_sheets(folder, name, document, pictures)),
            "json": str(folder / FINDINGS),
        }
        whole = {**{name: value for name, value in document.items() if name != "parts"}, **paths}
        write_json(folder / FINDINGS, {"key": key, "document": whole})
    return whole


def _write_groups(folder: Path, parts: Sequence[Mapping[str, Any]]) -> Path:
    rows = [(csv_cell(row["filename"]), csv_cell(row["group"]), f"{row['confidence']:.4f}") for row in parts]
    path = folder / "groups.csv"
    write_atomic(path, csv_bytes(["filename", "group", "confidence"], rows))
    return path


def _write_worklist(folder: Path, document: Mapping[str, Any], earlier: Mapping[str, Correction]) -> str | None:
    found = findings(document)
    if not found:
        return None
    content = worklist(found, earlier)
    path = folder / f"worklist-{hashlib.sha256(content).hexdigest()[:8]}.csv"
    if not path.is_file():
        write_atomic(path, content)
    return str(path)


def _write_sheets(folder: Path, name: str, document: Mapping[str, Any], pictures: Mapping[str, Gray]) -> Path:
    """Write the pages and remove those that an earlier audit had more; returns the first."""

    def picture(filename: str) -> str:
        return thumbnail(pictures[filename]) if filename in pictures else ""

    written = []
    for page, content in pages(name, document, sheets(document, document["parts"], picture)):
        write_atomic(folder / page, content.encode(), durable=False)
        written.append(page)
    for path in folder.glob("audit-*.html"):
        if path.name not in written:
            path.unlink(missing_ok=True)
    return folder / page_name(1)
