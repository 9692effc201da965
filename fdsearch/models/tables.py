"""Tables of things that YAML names: builders and losses. A plugin's join by decorator; a name is given once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fdsearch.errors import ConfigError, Fault, did_you_mean

T = TypeVar("T")


class NameTable(dict[str, T]):
    """A mapping of names to callables that refuses a name twice.

    Parameters
    ----------
    noun : str
        What the entries are, for messages.

    Examples
    --------
    >>> table = NameTable("loss")
    >>> @table.register("zero")
    ... def zero(y_true, logits):
    ...     return 0.0
    >>> table.find("zero", "$.loss") is zero
    True
    >>> table.find("zeros", "$.loss")
    Traceback (most recent call last):
        ...
    fdsearch.errors.ConfigError: there is no loss named zeros
      $.loss: got 'zeros'; expected a registered loss. did you mean zero?
    """

    def __init__(self, noun: str, entries: dict[str, T] | None = None) -> None:
        super().__init__(entries or {})
        self.noun = noun

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that enters a callable under `name`.

        Raises
        ------
        ConfigError
            If the name is taken.
        """

        def enter(entry: T) -> T:
            if name in self:
                fix = f"choose another name; taken: {', '.join(sorted(self))}"
                fault = Fault(f"{self.noun} {name}", "a second definition", "each name once", fix)
                raise ConfigError(f"the {self.noun} {name} exists already", [fault])
            self[name] = entry
            return entry

        return enter

    def find(self, name: str, where: str) -> T:
        """Return the entry of a name; `where` is the place that named it.

        Raises
        ------
        ConfigError
            If there is none; offers close matches.
        """
        if name not in self:
            fault = Fault(where, repr(name), f"a registered {self.noun}", did_you_mean(name, list(self)))
            raise ConfigError(f"there is no {self.noun} named {name}", [fault])
        return self[name]
