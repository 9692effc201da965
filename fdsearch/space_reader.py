"""Search spaces from decoded YAML: every fault of every parameter, then parents before children."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fdsearch.errors import ConfigError, Fault, did_you_mean
from fdsearch.space import Distribution, SearchSpace, Value

KINDS = ("categorical", "float", "int", "fixed")
_KEYS = {
    "categorical": {"type", "choices", "when"},
    "float": {"type", "low", "high", "log", "step", "when"},
    "int": {"type", "low", "high", "log", "step", "when"},
    "fixed": {"type", "fixed", "when"},
}


When = tuple[tuple[str, tuple[Value, ...]], ...]


def parse_space(raw: Any, where: str = "space") -> SearchSpace:
    """Read a space from a decoded YAML mapping.

    Parameters
    ----------
    raw : mapping
        Parameter name to a distribution, or to a fixed value.
    where : str
        Put before the path in faults, ``file: $.space`` for instance.

    Raises
    ------
    ConfigError
        With every fault of every parameter.

    Examples
    --------
    >>> parse_space({"epochs": {"type": "int", "low": 9, "high": 4}})
    Traceback (most recent call last):
    fdsearch.errors.ConfigError: the search space has faults
      space.epochs.low: got 9; expected at most high (4). swap the two
    """
    if not isinstance(raw, Mapping) or not raw:
        expected = "a mapping of parameter names to distributions"
        fault = Fault(where, repr(raw), expected, "see search_spaces/quick.yaml")
        raise ConfigError("the search space is empty or not a mapping", [fault])
    faults: list[Fault] = []
    parsed = {str(name): _parse_one(str(name), entry, f"{where}.{name}", faults) for name, entry in raw.items()}
    _check_parents(parsed, where, faults)
    if faults:
        raise ConfigError("the search space has faults", faults)
    return SearchSpace(_ordered(parsed, where))


def _parse_one(name: str, entry: Any, where: str, faults: list[Fault]) -> Distribution:
    empty = Distribution(name, "fixed", (None,))
    if not isinstance(entry, Mapping):
        return Distribution(name, "fixed", (entry,))
    kind = "fixed" if "fixed" in entry else entry.get("type")
    if kind not in KINDS:
        fix = did_you_mean(str(kind), KINDS[:3]) if kind else "add `type:` or `fixed:`"
        faults.append(Fault(f"{where}.type", repr(kind), f"one of {', '.join(KINDS[:3])}", fix))
        return empty
    known = sorted(_KEYS[kind])
    faults += [
        Fault(f"{where}.{key}", "an unknown key", f"a key of {kind}", did_you_mean(str(key), known))
        for key in entry
        if key not in known
    ]
    when = _parse_when(entry.get("when", {}), where, faults)
    if kind == "fixed":
        return Distribution(name, "fixed", (entry["fixed"],), when=when)
    if kind == "categorical":
        return Distribution(name, kind, _parse_choices(entry.get("choices"), where, faults), when=when)
    return _parse_number(name, kind, entry, when, where, faults)


def _parse_choices(choices: Any, where: str, faults: list[Fault]) -> tuple[Value, ...]:
    scalar = (type(None), bool, int, float, str)
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, scalar) for choice in choices):
        faults.append(Fault(f"{where}.choices", repr(choices), "a list of at least one name or number", "write [a, b]"))
        return (None,)
    if len({repr(choice) for choice in choices}) < len(choices):
        faults.append(Fault(f"{where}.choices", repr(choices), "each choice once", "remove the repeated one"))
    return tuple(choices)


def _parse_number(
    name: str,
    kind: str,
    entry: Mapping[str, Any],
    when: When,
    where: str,
    faults: list[Fault],
) -> Distribution:
    known = len(faults)
    for key in ("low", "high", *(["step"] if entry.get("step") is not None else [])):
        value = entry.get(key)
        if not _is_number(value, kind):
            expected = "a finite number" if kind == "float" else "a whole number"
            faults.append(Fault(f"{where}.{key}", repr(value), expected, "write a number, without quotes"))
    log, step = entry.get("log", False), entry.get("step")
    if not isinstance(log, bool):
        faults.append(Fault(f"{where}.log", repr(log), "true or false", "write true or false, without quotes"))
    if len(faults) > known:
        return Distribution(name, "fixed", (None,))
    low, high = entry["low"], entry["high"]
    if low > high:
        faults.append(Fault(f"{where}.low", repr(low), f"at most high ({high})", "swap the two"))
    if log and low <= 0:
        faults.append(Fault(f"{where}.low", repr(low), "above 0 where log is true", "raise low or drop log"))
    if step is not None and (step <= 0 or log):
        faults.append(Fault(f"{where}.step", repr(step), "above 0, and not beside log", "drop step or log"))
    return Distribution(name, kind, low=low, high=high, log=log, step=step, when=when)


def _is_number(value: Any, kind: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    return kind == "float" or value == int(value)


def _parse_when(raw: Any, where: str, faults: list[Fault]) -> When:
    if not isinstance(raw, Mapping) or not all(isinstance(values, list) and values for values in raw.values()):
        faults.append(
            Fault(f"{where}.when", repr(raw), "a mapping of parameter to a list of values", "write {phases: [head]}")
        )
        return ()
    return tuple((str(parent), tuple(values)) for parent, values in raw.items())


def _check_parents(parsed: Mapping[str, Distribution], where: str, faults: list[Fault]) -> None:
    for name, distribution in parsed.items():
        for parent, values in distribution.when:
            path = f"{where}.{name}.when.{parent}"
            if parent not in parsed:
                faults.append(
                    Fault(path, "an unknown parameter", "a parameter of this space", did_you_mean(parent, list(parsed)))
                )
            elif parsed[parent].kind not in ("categorical", "fixed"):
                faults.append(
                    Fault(path, f"a {parsed[parent].kind}", "a categorical or fixed parameter", "condition on a choice")
                )
            else:
                known = [str(choice) for choice in parsed[parent].choices]
                faults += [
                    Fault(path, repr(value), f"a choice of {parent}", did_you_mean(str(value), known))
                    for value in values
                    if not parsed[parent].holds(value)
                ]


def _ordered(parsed: Mapping[str, Distribution], where: str) -> tuple[Distribution, ...]:
    """Parents before children, otherwise as written."""
    done: dict[str, Distribution] = {}
    waiting = dict(parsed)
    while waiting:
        ready = [name for name, d in waiting.items() if all(parent in done for parent, _ in d.when)]
        if not ready:
            fault = Fault(
                where,
                f"a circle of conditions among {', '.join(waiting)}",
                "conditions without a circle",
                "drop one `when`",
            )
            raise ConfigError("the search space has a circle", [fault])
        done[ready[0]] = waiting.pop(ready[0])
    return tuple(done.values())
