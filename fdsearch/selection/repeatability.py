"""Whether another picture of the same part would have been decided alike.

Each picture is decided as if it were alone, out of fold. A part whose pictures differ hangs on which one was taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fdsearch.decide import DECISIONS

_WORST = 10


def repeatability(decisions: Sequence[str], groups: Sequence[str], filenames: Sequence[str]) -> dict[str, Any]:
    """Count the parts whose pictures all get one decision.

    Parameters
    ----------
    decisions : sequence of str, length n
        Of each picture alone, from `fdsearch.decide.DECISIONS`.
    groups, filenames : sequence of str, length n

    Returns
    -------
    dict
        ``share`` of the parts with several pictures that get one decision, ``n_parts`` (such parts), ``worst``: at most
        ten others, ``{part, pictures: [{filename, decision}]}``, those first that both pass and are rejected, then
        those divided most evenly. `share` is None, with ``why``, where no part has several pictures.

    Examples
    --------
    >>> found = repeatability(["pass", "reject", "pass", "pass"], ["a", "a", "b", "b"], ["1", "2", "3", "4"])
    >>> found["share"], found["n_parts"], found["worst"][0]["part"]
    (0.5, 2, 'a')
    """
    rows_of: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows_of.setdefault(group, []).append(row)
    several = {group: rows for group, rows in rows_of.items() if len(rows) > 1}
    if not several:
        return {"share": None, "n_parts": 0, "worst": [], "why": "no part has several pictures"}
    divided = [group for group, rows in several.items() if len({decisions[row] for row in rows}) > 1]
    divided.sort(key=lambda group: _harmony([decisions[row] for row in several[group]]))
    worst = [
        {
            "part": group,
            "pictures": [{"filename": filenames[row], "decision": decisions[row]} for row in several[group]],
        }
        for group in divided[:_WORST]
    ]
    return {"share": (len(several) - len(divided)) / len(several), "n_parts": len(several), "worst": worst, "why": ""}


def _harmony(decisions: Sequence[str]) -> tuple[int, float]:
    """Sort key of divided parts, the most divided first."""
    severity = [DECISIONS.index(decision) for decision in decisions]
    return min(severity) - max(severity), Counter(decisions).most_common(1)[0][1] / len(decisions)
