"""``novelty.npz``: the known pictures as a version remembers them; what is novel goes to a person.

`fdsearch.selection.novelty` chooses the method and its threshold, `pipeline` writes the file with a version, and
`predictor` asks it. Plain arrays, read as untrusted. `fdsearch.novelty` holds what is measured.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.decide import PASS, REVIEW, Verdict
from fdsearch.errors import Fault, IntegrityError
from fdsearch.novelty.measure import Novelty
from fdsearch.novelty.methods import METHODS
from fdsearch.novelty.space import Space
from fdsearch.registry.arrays import read_arrays
from fdsearch.registry.manifest import RESTORE
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract

NOVELTY = "novelty.npz"
FORMAT = 1

MAX_BYTES = 1 << 26
"""Largest file that is read; the directions of a wide embedding are most of it."""

MAX_UNFOLDED = 1 << 27
"""Most bytes that its arrays may take: 4,096 neighbours in 192 directions take 3 MB."""

_SPACE, _FIT = "space_", "fit_"


def dump(novelty: Novelty) -> bytes:
    """The bytes of ``novelty.npz``."""
    numbers = {f"{_FIT}{name}": np.asarray(array, np.float32) for name, array in novelty.arrays.items()}
    space = {f"{_SPACE}{name}": np.asarray(array, np.float32) for name, array in novelty.space.arrays().items()}
    told = {"format": np.array(FORMAT), "method": np.array(novelty.method.encode())}
    units = {"centre": np.array(novelty.centre), "spread": np.array(novelty.spread)}
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **told, **units, **space, **numbers)
    return stream.getvalue()


def parse(content: bytes, where: str = NOVELTY) -> Novelty:
    """Read the bytes of ``novelty.npz``.

    Raises
    ------
    IntegrityError
        If they are too many, or anything but the numbers that one of `fdsearch.novelty.methods.METHODS` needs.
    """
    try:
        if len(content) > MAX_BYTES:
            raise ValueError(f"{len(content)} bytes, more than {MAX_BYTES}")
        found = _checked(read_arrays(content, MAX_UNFOLDED))
        # One picture through it: a method whose numbers are absent or of other shapes says so here.
        with np.errstate(all="ignore"):
            found.score(np.zeros((1, len(found.space.mean))), np.zeros((1, 2)))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        fault = Fault(where, f"{error}"[:300], "the reference as fdsearch writes it", RESTORE)
        raise IntegrityError("what the version knows of its pictures cannot be read", [fault]) from error
    return found


def known_of(version: ModelVersion, contract: Contract) -> Novelty | None:
    """What a version remembers of its pictures, where its contract has a threshold for it.

    Raises
    ------
    IntegrityError
        If the file is not as registered, cannot be read or does not fit the contract.
    """
    rule = contract.novelty
    if rule is None or rule.threshold is None:
        return None
    where = str(version.path / NOVELTY)
    found = parse(version.read(NOVELTY, MAX_BYTES), where)
    if found.method != rule.method or len(found.space.mean) != rule.dimensions:
        got = f"{found.method} of {len(found.space.mean)} numbers"
        fault = Fault(where, got, f"{rule.method} of {rule.dimensions}", RESTORE)
        raise IntegrityError("what the version knows of its pictures does not fit its contract", [fault])
    return found


def _checked(arrays: dict[str, NDArray[Any]]) -> Novelty:
    if int(arrays.pop("format")) != FORMAT:
        raise ValueError("another format")
    method = bytes(arrays.pop("method").item()).decode()
    if method not in METHODS:
        raise ValueError(f"the method {method[:40]!r}")
    if any(array.dtype.kind != "f" or not np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("something that is no finite number")
    centre, spread = float(arrays.pop("centre")), float(arrays.pop("spread"))
    if spread <= 0:
        raise ValueError(f"a spread of {spread}")
    numbers = {name: array.astype(np.float64) for name, array in arrays.items()}
    space, fit = (
        {name[len(prefix) :]: array for name, array in numbers.items() if name.startswith(prefix)}
        for prefix in (_SPACE, _FIT)
    )
    return Novelty(method, Space.from_arrays(space), fit, centre, spread)


def withheld(verdicts: Sequence[Verdict], novelty: ArrayLike, parts: Sequence[Hashable] | None = None) -> list[Verdict]:
    """Send what would pass, and is novel, to a person.

    Parameters
    ----------
    verdicts : sequence of Verdict, length n
        Of `fdsearch.decide.decide`.
    novelty : array-like of float, shape (n,)
        Score divided by threshold; above 1, and where it is no number, a picture is novel.
    parts : sequence, length n, optional
        The part of each picture, all of which are novel if one is; default: each picture is its own part.

    Examples
    --------
    >>> [verdict.decision for verdict in withheld([Verdict("pass")] * 3, [0.5, 0.5, 2.0], ["a", "b", "b"])]
    ['pass', 'review', 'review']
    """
    names = range(len(verdicts)) if parts is None else parts
    novel = {name for name, value in zip(names, np.asarray(novelty, np.float64), strict=True) if not value <= 1}
    return [
        Verdict(REVIEW) if verdict.decision == PASS and name in novel else verdict
        for name, verdict in zip(names, verdicts, strict=True)
    ]
