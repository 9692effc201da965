"""Whether a version may become champion: its own gates again, from its sealed files, and against today's champion.

`registration` asks when a candidate is registered, `fdsearch registry promote` when a person decides; the rows go into
the registry's log with the decision. What a version alone must hold is `fdsearch.registry.gates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from fdsearch.config import Gates
from fdsearch.errors import Fault, IntegrityError
from fdsearch.metrics import predict
from fdsearch.pipeline.origin import OutOfFold
from fdsearch.registry import gates
from fdsearch.registry.draft import CONTRACT, METRICS
from fdsearch.registry.manifest import MANIFEST, RESTORE
from fdsearch.registry.sealed import Sealed
from fdsearch.registry.signature import SIGNATURE, signature_gate
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.selection.comparison import paired_gain
from fdsearch.selection.exchange import exchange_share
from fdsearch.serving.contract import Contract
from fdsearch.serving.exports import Exports
from fdsearch.serving.formats import read_exports

CHAMPION = "better_than_champion"

_CHEAPER = 0.9
"""Share of the champion's time that counts as less: two timings of one model differ by a few hundredths."""


def judge_promotion(registry: Registry, name: str, version: int) -> list[dict[str, Any]]:
    """Judge a version for becoming champion now.

    Parameters
    ----------
    registry : Registry
    name : str
    version : int

    Returns
    -------
    list of dict
        Rows as of `gates.evaluate`: the gates of the study that made the version; those it was judged by before and
        that cannot be judged again; `CHAMPION`, where another version is champion, with what `compare_sealed` found as
        ``comparison``; and its signature, where a public key is configured. The answer holds as long as the model's
        generation is the same: hand the one from before to `Registry.promote`.

    Raises
    ------
    ConfigError
        If there is no such version.
    IntegrityError
        If its files are not as they were registered.
    """
    champion = registry.state(name).champion
    challenger = registry.version(name, version)
    rows = _own(challenger)
    if champion not in (None, version):
        rows.append(_against_champion(registry, challenger, int(champion or 0)))
    return [*rows, *signature_gate(challenger)]


def compare_sealed(challenger: ModelVersion, champion: ModelVersion) -> dict[str, Any] | None:
    """Compare two versions on the pictures that were sealed from both; None where there are none.

    A part of which either was trained on a picture is left out: parts that were two when one of the versions was made
    may have turned out to be one.

    Returns
    -------
    dict or None
        ``champion`` (its version) and what `compare_answers` returns.

    Raises
    ------
    IntegrityError
        If a version's answers are not as they were registered.
    """
    mine, theirs = Sealed.of(challenger), Sealed.of(champion)
    if mine is None or theirs is None:
        return None
    learnt = {*(OutOfFold.of(challenger).content or ()), *(OutOfFold.of(champion).content or ())}
    found = compare_answers(mine.without_parts_of(learnt), theirs.without_parts_of(learnt))
    return None if found is None else {"champion": champion.version, **found}


def compare_answers(challenger: Sealed, champion: Sealed) -> dict[str, Any] | None:
    """Compare two models' answers on the pictures that both have given; None where there are none.

    Labels and parts are those the challenger was scored with: they are the later ones.

    Returns
    -------
    dict or None
        ``parts`` and ``pictures`` (how many both have answered), ``gain`` (macro F1 of the challenger minus that of the
        champion), ``ci`` (paired bootstrap over parts, or None), ``level``, ``se``, ``why`` (why no interval can be
        given, or None) and, where there is none, ``chance``: the share of exchanges of their answers, part by part,
        with so large a gain (`fdsearch.selection.exchange`). It is shown to whoever decides and claims nothing.
    """
    if set(challenger.classes) != set(champion.classes):
        return None
    _, mine, theirs = np.intersect1d(challenger.content, champion.content, return_indices=True)
    if not len(mine):
        return None
    order = [champion.classes.index(label) for label in challenger.classes]
    parts, groups = np.unique(challenger.groups[mine], return_inverse=True)
    answers = (
        challenger.labels[mine],
        predict(challenger.logits[mine]),
        predict(champion.logits[theirs][:, order]),
        groups,
    )
    gain = paired_gain(*answers, challenger.classes)
    return {
        "parts": len(parts),
        "pictures": len(mine),
        "gain": float(gain["gain"]),
        "ci": gain["ci"],
        "level": gain["level"],
        "se": gain["se"],
        "why": None if gain["ci"] else gain["why"],
        "chance": None if gain["ci"] else exchange_share(*answers, len(challenger.classes)),
    }


def _own(version: ModelVersion) -> list[dict[str, Any]]:
    """The gates the version alone must hold, from files that are compared with the manifest before they are read."""
    with _readable(version, MANIFEST):
        asked = Gates.model_validate(version.manifest.lineage.get("gates") or {})
    contract = Contract.parse(version.read(CONTRACT), str(version.path / CONTRACT)).model_dump(mode="json")
    with _readable(version):
        rows = gates.evaluate(asked, version.read_json(METRICS), contract, _plain_exports(read_exports(version)))
    names = {CHAMPION, SIGNATURE, *(row["name"] for row in rows)}
    return [*rows, *(dict(row) for row in version.gates if row["name"] not in names)]


def _plain_exports(exports: Exports | None) -> dict[str, dict[str, Any]] | None:
    return None if exports is None else {name: each.model_dump() for name, each in exports.exports.items()}


@contextmanager
def _readable(version: ModelVersion, filename: str = METRICS) -> Iterator[None]:
    """Turn figures that are none, as an imported version may have them, into `IntegrityError`."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        fault = Fault(str(version.path / filename), str(error), "the figures of a version", RESTORE)
        raise IntegrityError("a file of the version cannot be read", [fault]) from error


def _against_champion(registry: Registry, challenger: ModelVersion, number: int) -> dict[str, Any]:
    """Better than the champion on parts neither has trained on, or tied with it and cheaper."""
    try:
        champion = registry.version(challenger.name, number)
        with _readable(challenger):
            found = _known_comparison(challenger, champion) or compare_sealed(challenger, champion)
        cheaper = _cheaper(read_exports(challenger), read_exports(champion))
    except IntegrityError as error:
        if any(str(challenger.path) in fault.where for fault in error.faults):
            raise
        # A damaged champion must be replaceable, with --force.
        why = f"version {number} cannot be compared with: {error.message}"
        return {**gates.row(CHAMPION, None, 0.0, False, why), "comparison": None}
    with _readable(challenger):
        return {**_verdict(found, number, *cheaper), "comparison": found}


def _verdict(found: Mapping[str, Any] | None, number: int, faster: bool, speeds: str) -> dict[str, Any]:
    if found is None or found["ci"] is None:
        words = _without_interval(found) if found else "they share no sealed picture, or tell other classes apart"
        return gates.row(CHAMPION, None, 0.0, False, f"not comparable with version {number}: {words}")
    low, high = map(float, found["ci"])
    said = f"gain {found['gain']:+.3f} ({low:+.3f} to {high:+.3f}) on {found['parts']} parts neither has trained on"
    if low > 0:
        holds, why = True, f"better than version {number}: {said}"
    elif high < 0:
        holds, why = False, f"worse than version {number}: {said}"
    else:
        holds, why = faster, f"tied with version {number}, {said}; {speeds}"
    return gates.row(CHAMPION, low, 0.0, holds, why)


def _without_interval(found: Mapping[str, Any]) -> str:
    """Why there is none, and what is known for whoever decides all the same."""
    if found.get("chance") is None:
        return str(found["why"])
    chance = f"of random exchanges of their answers {100 * found['chance']:.2g} % gain as much"
    return f"{found['why']}; seen is a gain of {found['gain']:+.3f} on {found['parts']} parts ({chance})"


def _known_comparison(challenger: ModelVersion, champion: ModelVersion) -> Mapping[str, Any] | None:
    """What was found out when the challenger was made, on the sealed parts of that day, if about this very champion.

    A version that came from another registry was compared with that one's champion, whatever number it had there.
    """
    found: Mapping[str, Any] | None = challenger.read_json(METRICS).get("comparison")
    same = found is not None and found.get("manifest") == champion.manifest_digest
    return found if found and same and found["gain"] is not None else None


def _cheaper(challenger: Exports | None, champion: Exports | None) -> tuple[bool, str]:
    """Whether the challenger's fastest export takes clearly less time than the champion's, on the same machine."""
    mine, theirs = gates.fastest(_plain_exports(challenger)), gates.fastest(_plain_exports(champion))
    if challenger is None or champion is None or mine is None or theirs is None:
        return False, "which of them is faster is not known"
    here, there = challenger.measured_on, champion.measured_on
    if (here.machine, here.cores) != (there.machine, there.cores):
        return False, "they were timed on different machines"
    faster = mine[1] <= _CHEAPER * theirs[1]
    return faster, f"{mine[1]:.1f} ms for a picture instead of {theirs[1]:.1f}, {'' if faster else 'not '}clearly less"
