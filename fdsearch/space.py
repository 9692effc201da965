"""Search spaces: what may vary, and how a trial draws one point of it.

A space is an ordered set of distributions. It knows no Optuna: it draws from anything with the three `suggest`
methods, so a fixed point, a random generator or a test double can take the trial's place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fdsearch.errors import ConfigError, Fault, did_you_mean

Value = Any
"""A parameter: None, bool, int, float or str; a fixed one may be a list."""

KINDS = ("categorical", "float", "int", "fixed")
_KEYS = {
    "categorical": {"type", "choices", "when"},
    "float": {"type", "low", "high", "log", "step", "when"},
    "int": {"type", "low", "high", "log", "step", "when"},
    "fixed": {"type", "fixed", "when"},
}


class TrialLike(Protocol):
    """The part of `optuna.Trial` that sampling needs."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...


@dataclass(frozen=True)
class Distribution:
    """One parameter's range.

    Parameters
    ----------
    name : str
    kind : {"categorical", "float", "int", "fixed"}
    choices : tuple
        The categories, or the one fixed value.
    low, high : float
        Inclusive bounds of a number.
    log : bool
        Draw uniformly in the logarithm.
    step : float or None
        Grid of a number, counted from `low`.
    when : tuple of (str, tuple)
        The parameter exists only where each named parent has one of the listed values.
    """

    name: str
    kind: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()

    def active(self, params: Mapping[str, Value]) -> bool:
        """Whether the parameter exists beside the parameters drawn so far."""
        return all(parent in params and params[parent] in values for parent, values in self.when)

    def holds(self, value: Value) -> bool:
        """Whether a value lies in the range."""
        if self.kind in ("categorical", "fixed"):
            return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        if self.kind == "int" and value != int(value):
            return False
        return self.low <= value <= self.high

    def default(self) -> Value:
        """The middle of a number's range (of its logarithm where `log`), the first of the choices."""
        if self.kind in ("categorical", "fixed"):
            return self.choices[0]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        if self.step is not None:
            middle = self.low + round((middle - self.low) / self.step) * self.step
        return int(middle) if self.kind == "int" else middle

    def suggest(self, trial: TrialLike) -> Value:
        """Draw a value from a trial."""
        if self.kind == "fixed":
            return self.choices[0]
        if self.kind == "categorical":
            return trial.suggest_categorical(self.name, self.choices)
        if self.kind == "int":
            step = 1 if self.step is None else int(self.step)
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def to_json(self) -> dict[str, Any]:
        """The distribution as YAML would spell it."""
        when = {"when": {parent: list(values) for parent, values in self.when}} if self.when else {}
        if self.kind == "fixed":
            return {"fixed": self.choices[0], **when}
        if self.kind == "categorical":
            return {"type": self.kind, "choices": list(self.choices), **when}
        number: dict[str, Any] = {"type": self.kind, "low": self.low, "high": self.high}
        if self.log:
            number["log"] = True
        if self.step is not None:
            number["step"] = self.step
        return {**number, **when}


@dataclass(frozen=True)
class SearchSpace:
    """An ordered set of distributions, parents before children.

    Examples
    --------
    >>> space = SearchSpace.parse({"phases": {"type": "categorical", "choices": ["probe", "head"]},
    ...                            "epochs": {"type": "int", "low": 4, "high": 8, "when": {"phases": ["head"]}}})
    >>> space.complete({"phases": "probe"})
    {'phases': 'probe'}
    >>> space.complete({"phases": "head"})
    {'phases': 'head', 'epochs': 6}
    """

    distributions: tuple[Distribution, ...]

    @classmethod
    def parse(cls, raw: Mapping[str, Any], where: str = "space") -> SearchSpace:
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
        """
        if not isinstance(raw, Mapping) or not raw:
            fault = Fault(where, repr(raw), "a mapping of parameter names to distributions", "see search_spaces/quick.yaml")
            raise ConfigError("the search space is empty or not a mapping", [fault])
        faults: list[Fault] = []
        parsed = {name: _parse_one(str(name), entry, f"{where}.{name}", faults) for name, entry in raw.items()}
        _check_parents(parsed, where, faults)
        if faults:
            raise ConfigError("the search space has faults", faults)
        return cls(_ordered(parsed, where))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(distribution.name for distribution in self.distributions)

    def get(self, name: str) -> Distribution | None:
        """The distribution of a name, or None."""
        return next((d for d in self.distributions if d.name == name), None)

    def sample(self, trial: TrialLike) -> dict[str, Value]:
        """Draw a point: a flat mapping of the parameters that exist there."""
        params: dict[str, Value] = {}
        for distribution in self.distributions:
            if distribution.active(params):
                params[distribution.name] = distribution.suggest(trial)
        return params

    def complete(self, partial: Mapping[str, Value]) -> dict[str, Value]:
        """Fill a partial point with defaults.

        Parameters
        ----------
        partial : mapping
            Values that must hold; names that are inactive beside the others are an error too.

        Raises
        ------
        ConfigError
            If a value lies outside its range, or a name is unknown or inactive.
        """
        params: dict[str, Value] = {}
        faults: list[Fault] = []
        for distribution in self.distributions:
            if not distribution.active(params):
                continue
            name = distribution.name
            value = partial.get(name, distribution.default())
            if not distribution.holds(value):
                faults.append(Fault(name, repr(value), str(distribution.to_json()), "change the value or the space"))
            params[name] = value
        for name in partial:
            if name not in self.names:
                faults.append(Fault(name, "an unknown parameter", "a parameter of the space", did_you_mean(name, self.names)))
            elif name not in params:
                condition = dict(self.get(name).when)  # type: ignore[union-attr]
                faults.append(Fault(name, repr(partial[name]), f"nothing: it exists only when {condition}", "leave it out"))
        if faults:
            raise ConfigError("the point lies outside the search space", faults)
        return params

    def without(self, name: str, dropped: Iterable[Value]) -> SearchSpace | None:
        """Return the space with some choices of a categorical parameter removed; None if none is left."""
        gone = list(dropped)
        kept = []
        for distribution in self.distributions:
            if distribution.name == name:
                choices = tuple(choice for choice in distribution.choices if choice not in gone)
                if not choices:
                    return None
                distribution = replace(distribution, choices=choices)
            kept.append(distribution)
        return SearchSpace(tuple(kept))

    def values(self, name: str) -> tuple[Value, ...]:
        """All the values a categorical or fixed parameter can take; empty where the space lacks it."""
        distribution = self.get(name)
        return () if distribution is None else distribution.choices

    def to_json(self) -> dict[str, Any]:
        """The space as a mapping that `parse` reads back."""
        return {distribution.name: distribution.to_json() for distribution in self.distributions}


def _parse_one(name: str, entry: Any, where: str, faults: list[Fault]) -> Distribution:
    empty = Distribution(name, "fixed", (None,))
    if not isinstance(entry, Mapping):
        return Distribution(name, "fixed", (entry,))
    kind = "fixed" if "fixed" in entry else entry.get("type")
    if kind not in KINDS:
        fix = did_you_mean(str(kind), KINDS[:3]) if kind else "add `type:` or `fixed:`"
        faults.append(Fault(f"{where}.type", repr(kind), f"one of {', '.join(KINDS[:3])}", fix))
        return empty
    for key in entry:
        if key not in _KEYS[kind]:
            faults.append(Fault(f"{where}.{key}", "an unknown key", f"a key of {kind}", did_you_mean(str(key), sorted(_KEYS[kind]))))
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
    name: str, kind: str, entry: Mapping[str, Any], when: tuple[tuple[str, tuple[Value, ...]], ...], where: str, faults: list[Fault]
) -> Distribution:
    known = len(faults)
    for key in ("low", "high", *(["step"] if entry.get("step") is not None else [])):
        value = entry.get(key)
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number or (kind == "int" and value != int(value)):
            faults.append(Fault(f"{where}.{key}", repr(value), "a finite number" if kind == "float" else "a whole number", "write 1.0e-3, not 1e-3" if isinstance(value, str) else ""))
    log, step = entry.get("log", False), entry.get("step")
    if not isinstance(log, bool):
        faults.append(Fault(f"{where}.log", repr(log), "true or false"))
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


def _parse_when(raw: Any, where: str, faults: list[Fault]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    if not isinstance(raw, Mapping) or not all(isinstance(values, list) and values for values in raw.values()):
        faults.append(Fault(f"{where}.when", repr(raw), "a mapping of parameter to a list of values", "write {phases: [head]}"))
        return ()
    return tuple((str(parent), tuple(values)) for parent, values in raw.items())


def _check_parents(parsed: Mapping[str, Distribution], where: str, faults: list[Fault]) -> None:
    for name, distribution in parsed.items():
        for parent, values in distribution.when:
            path = f"{where}.{name}.when.{parent}"
            if parent not in parsed:
                faults.append(Fault(path, "an unknown parameter", "a parameter of this space", did_you_mean(parent, list(parsed))))
            elif parsed[parent].kind not in ("categorical", "fixed"):
                faults.append(Fault(path, f"a {parsed[parent].kind}", "a categorical or fixed parameter", "condition on a choice"))
            else:
                for value in values:
                    if not parsed[parent].holds(value):
                        fix = did_you_mean(str(value), [str(choice) for choice in parsed[parent].choices])
                        faults.append(Fault(path, repr(value), f"a choice of {parent}", fix))


def _ordered(parsed: Mapping[str, Distribution], where: str) -> tuple[Distribution, ...]:
    """Parents before children, otherwise as written."""
    done: dict[str, Distribution] = {}
    waiting = dict(parsed)
    while waiting:
        ready = [name for name, d in waiting.items() if all(parent in done for parent, _ in d.when)]
        if not ready:
            fault = Fault(where, f"a circle of conditions among {', '.join(waiting)}", "conditions without a circle", "drop one `when`")
            raise ConfigError("the search space has a circle", [fault])
        done[ready[0]] = waiting.pop(ready[0])
    return tuple(done.values())
