"""Search spaces: what may vary, and how a trial draws one point of it.

A space is an ordered set of distributions, read by `space_reader`. It knows no Optuna: it draws from anything with the
three `suggest` methods, so a fixed point, a random generator or a test double can take the trial's place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fdsearch.errors import ConfigError, Fault, did_you_mean

Value = Any
"""A parameter: None, bool, int, float or str; a fixed one may be a list."""


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
            return any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices
            )
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
    >>> phases = Distribution("phases", "categorical", ("probe", "head"))
    >>> epochs = Distribution("epochs", "int", low=4, high=8, when=(("phases", ("head",)),))
    >>> space = SearchSpace((phases, epochs))
    >>> space.complete({"phases": "probe"})
    {'phases': 'probe'}
    >>> space.complete({"phases": "head"})
    {'phases': 'head', 'epochs': 6}
    """

    distributions: tuple[Distribution, ...]

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
                faults.append(
                    Fault(name, "an unknown parameter", "a parameter of the space", did_you_mean(name, self.names))
                )
            elif name not in params:
                condition = dict(self.get(name).when)  # type: ignore[union-attr]
                faults.append(
                    Fault(name, repr(partial[name]), f"nothing: it exists only when {condition}", "leave it out")
                )
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
        """The space as a mapping that `fdsearch.space_reader.parse_space` reads back."""
        return {distribution.name: distribution.to_json() for distribution in self.distributions}
