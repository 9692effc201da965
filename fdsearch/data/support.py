"""Whether a class has enough parts for what shall be said about it, and how many more would have to be photographed.

The numbers that are wanted come from whoever computes intervals; this module only counts. `data.audit` asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Wanted:
    """A number of groups that every class needs in one role.

    Parameters
    ----------
    role : {"development", "holdout"}
    groups : int
    purpose : str
        What they are needed for, in words.
    """

    role: str
    groups: int
    purpose: str


def missing_parts(
    group_counts: Mapping[str, Mapping[str, int]], wanted: Sequence[Wanted], share: float | None
) -> list[dict[str, Any]]:
    """List the classes that have too few groups.

    Parameters
    ----------
    group_counts : mapping of role to mapping of class to int
    wanted : sequence of Wanted
        Those of a role without counts are passed over.
    share : float or None
        Of a class's groups that the holdout gets; None where a rule chooses it.

    Returns
    -------
    list of dict
        ``class, role, groups, wanted, missing`` (in that role), ``collect`` (new parts to photograph so that dealing
        brings that many into the role; equals `missing` where a rule chooses the holdout), ``purpose``.

    Examples
    --------
    >>> counts = {"development": {"Free": 40, "Fray": 6}, "holdout": {"Free": 10, "Fray": 1}}
    >>> [row] = missing_parts(counts, [Wanted("development", 30, "an exact interval")], share=0.2)
    >>> row["class"], row["groups"], row["missing"], row["collect"]
    ('Fray', 6, 24, 30)
    """
    found: list[dict[str, Any]] = []
    for want in wanted:
        for name, groups in group_counts.get(want.role, {}).items():
            missing = want.groups - groups
            if missing <= 0:
                continue
            total = sum(counts.get(name, 0) for counts in group_counts.values())
            collect = missing if share is None else max(missing, parts_needed(want.role, want.groups, share) - total)
            found.append(
                {
                    "class": name,
                    "role": want.role,
                    "groups": groups,
                    "wanted": want.groups,
                    "missing": missing,
                    "collect": collect,
                    "purpose": want.purpose,
                }
            )
    return found


def parts_needed(role: str, groups: int, share: float) -> int:
    """How many parts a class needs in all, so that dealing them gives a role that many (see `data.dealing.deal`).

    Examples
    --------
    >>> parts_needed("holdout", 15, 0.2), parts_needed("development", 30, 0.2)
    (73, 37)
    """
    total = groups
    while True:
        total += 1
        sealed = min(max(1, round(share * total)), total - 1)
        if (sealed if role == "holdout" else total - sealed) >= groups:
            return total
