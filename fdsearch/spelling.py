"""How a person may spell what a study holds: durations, commands, names; and the base of its sections.

`config` and `unseen` make sections of these, and options of commands are read so.
"""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_DURATION = re.compile(r"^(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$")


def seconds(value: Any) -> Any:
    """Read a duration: a number of seconds, or text such as ``1h30m``.

    Examples
    --------
    >>> seconds("1h30m"), seconds(90)
    (5400.0, 90)
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value.strip())
    if not match or not any(match.groups()):
        raise ValueError("a duration such as 90s, 40m or 1h30m")
    return sum(float(part) * unit for part, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True) if part)


def words(value: Any) -> Any:
    """Read a command: a list of words, or text that is split as a shell splits it, though no shell runs it.

    Examples
    --------
    >>> words("tell.sh --to 'night shift'")
    ['tell.sh', '--to', 'night shift']
    """
    found = shlex.split(value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found or not all(isinstance(word, str) for word in found):
        raise ValueError("a command, as text or as a list of words")
    return found


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Label = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Frozen(BaseModel):
    """Immutable, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
