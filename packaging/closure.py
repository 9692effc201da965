"""Which of some wheels an installation needs, and what it needs that is not there, read from the wheels themselves.

``pip download`` for another Python chooses the right files but asks the markers of the Python that runs it, so what it
brings may be too little or too much. `wheelhouse` completes and prunes by this, and packs nothing that is not closed.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version


@dataclass(frozen=True)
class Wheel:
    """A wheel and what it asks for."""

    path: Path
    name: NormalizedName
    version: Version
    requires: tuple[Requirement, ...]
    extras: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read the metadata of a wheel.

        Raises
        ------
        ValueError
            If it is no wheel.
        """
        name, version, _, _ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            # At the top alone: some packages carry others within.
            inside = [member for member in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", member)]
            if len(inside) != 1:
                raise ValueError(f"{path} has {len(inside)} files METADATA, one was expected")
            metadata, _ = parse_email(archive.read(inside[0]))
        requires = tuple(map(Requirement, metadata.get("requires_dist", [])))
        return cls(path, name, version, requires, frozenset(metadata.get("provides_extra", [])))

    def asks(self, extra: str, markers: Mapping[str, str]) -> list[Requirement]:
        """What it requires in an environment with one of its extras, or with none (an empty text)."""
        environment = {**markers, "extra": extra}
        return [need for need in self.requires if need.marker is None or need.marker.evaluate(environment)]


@dataclass
class Closure:
    """The result of a walk from some requirements."""

    needed: dict[NormalizedName, Wheel] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Requirements that no wheel satisfies, each with who asks for it."""


def close(wheels: Iterable[Wheel], roots: Iterable[Requirement], markers: Mapping[str, str]) -> Closure:
    """Walk from the roots through what wheels require.

    Parameters
    ----------
    wheels : iterable of Wheel
        One per name; of several the last counts.
    roots : iterable of Requirement
        What is to be installed.
    markers : mapping
        The target's environment markers, without ``extra``.
    """
    found = Closure()
    here = {wheel.name: wheel for wheel in wheels}
    waiting = [(root, "you") for root in roots]
    seen: set[tuple[NormalizedName, str]] = set()
    while waiting:
        need, by = waiting.pop()
        wheel = here.get(canonicalize_name(need.name))
        if wheel is None or not need.specifier.contains(wheel.version, prereleases=True):
            found.missing[_without_marker(need)] = by
            continue
        found.needed[wheel.name] = wheel
        for extra in ("", *sorted(need.extras)):
            if (wheel.name, extra) not in seen:
                seen.add((wheel.name, extra))
                waiting += [(further, wheel.name) for further in wheel.asks(extra, markers)]
    return found


def _without_marker(need: Requirement) -> str:
    """The requirement as it can be given to pip, which must not ask its marker again."""
    return str(need).partition(";")[0].strip()
