"""A holdout chosen by a column of the manifest: some values of it, or everything from a date on.

`partition` seals the groups of these rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from fdsearch.config import HoldoutRule
from fdsearch.data.dataset import Dataset
from fdsearch.data.dealing import Bools
from fdsearch.errors import ConfigError, DataError, Fault, did_you_mean

_DATE = "a date such as 2026-09-01 or 2026-09-01T06:30"


def rows_under_rule(dataset: Dataset, rule: HoldoutRule) -> Bools:
    """Find the rows that a holdout rule names.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    ConfigError
        If the rule's column is not among the dataset's metadata, its date is none, or it names no row.
    DataError
        With every cell that is no date, where the rule is one.
    """
    if rule.column not in dataset.metadata:
        fix = did_you_mean(rule.column, list(dataset.metadata))
        fault = Fault("$.split.holdout.column", rule.column, "a column of the manifest", fix)
        raise ConfigError("the holdout rule names no column", [fault])
    cells = dataset.metadata[rule.column]
    named = _since(dataset.filenames, cells, rule) if rule.values is None else np.isin(cells, rule.values)
    if not named.any():
        present = sorted(set(cells))
        got = f"no row, among {', '.join(present[:10])}{', ...' if len(present) > 10 else ''}"
        fault = Fault("$.split.holdout", got, "a rule that names some rows", "mend the rule")
        raise ConfigError("the holdout rule seals nothing", [fault])
    return named


def _since(filenames: Sequence[str], cells: Sequence[str], rule: HoldoutRule) -> Bools:
    """Which cells are at or after the rule's date."""
    start = _moment(str(rule.after))
    if start is None:
        raise ConfigError(
            "the holdout rule has no date", [Fault("$.split.holdout.after", repr(rule.after), _DATE, "mend it")]
        )
    moments = [_moment(cell) for cell in cells]
    faults = [
        Fault(f"{filename}, column {rule.column}", repr(cell), _DATE, "mend the manifest")
        for filename, cell, moment in zip(filenames, cells, moments, strict=True)
        if moment is None
    ]
    if faults:
        raise DataError("dates cannot be read", faults)
    return np.array([moment is not None and moment >= start for moment in moments])


def _moment(text: str) -> datetime | None:
    """A date or time in ISO 8601, taken as UTC where it has no zone; None for other text."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
