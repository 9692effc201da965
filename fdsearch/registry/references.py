"""How a person names a model on the command line: NAME, NAME@champion, NAME@challenger, NAME:VERSION."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fdsearch.errors import ConfigError, Fault
from fdsearch.registry.holdouts import NAMES
from fdsearch.spelling import NAME_PATTERN


@dataclass(frozen=True)
class Reference:
    """A model's name with a version number or an alias, never both."""

    name: str
    version: int | None = None
    alias: str | None = None


def parse_reference(text: str) -> Reference:
    """Read a reference; a bare name means its champion.

    Raises
    ------
    ConfigError
        If the text is no such reference.

    Examples
    --------
    >>> parse_reference("magnetic_tile")
    Reference(name='magnetic_tile', version=None, alias='champion')
    >>> parse_reference("magnetic_tile:0003")
    Reference(name='magnetic_tile', version=3, alias=None)
    """
    match = re.fullmatch(r"([^@:]*)(?:@(champion|challenger)|:([0-9]{1,9}))?", text)
    if match is None or not re.fullmatch(NAME_PATTERN, match[1]):
        fix = "`fdsearch registry list` shows the names; a bundle's folder must hold a manifest.json"
        fault = Fault("MODEL", repr(text[:100]), "NAME, NAME@champion, NAME@challenger, NAME:VERSION or a folder", fix)
        raise ConfigError("this names no model", [fault])
    if match[3] is not None:
        return Reference(match[1], version=int(match[3]))
    return Reference(match[1], alias=match[2] or "champion")


def check_name(name: str) -> str:
    """Return a model's name, or refuse one that could not be a folder's.

    Raises
    ------
    ConfigError
        If it does not match `NAME_PATTERN`, or the log of the holdouts has it.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        expected = "lower case letters, digits, . _ -, at most 64, the first a letter or digit"
        fault = Fault("registry.model", repr(name[:100]), expected, "choose a shorter, plain name")
        raise ConfigError("this cannot be a model's name", [fault])
    if name in NAMES:
        fault = Fault("registry.model", name, "a name that no file of the registry has", "choose another name")
        raise ConfigError("this cannot be a model's name", [fault])
    return name
