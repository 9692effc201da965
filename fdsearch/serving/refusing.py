"""How the service says no: one JSON document, ``{"error": {"status", "message", "faults": [...]}}``.

The faults are those of `fdsearch.errors`, as the command line prints them with ``--json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fdsearch.errors import Fault

if TYPE_CHECKING:
    from starlette.responses import JSONResponse


class Refusal(Exception):
    """A request that gets no answer.

    Parameters
    ----------
    status : int
        Of HTTP, 400 or more.
    message : str
        One sentence.
    faults : sequence of Fault
        Everything that is wrong with it.
    headers : mapping of str to str
        Sent along.
    """

    def __init__(
        self, status: int, message: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.faults, self.headers = status, message, tuple(faults), dict(headers or {})

    def response(self) -> JSONResponse:
        """The document that is sent."""
        from starlette.responses import JSONResponse

        faults = [vars(fault) for fault in self.faults]
        error = {"status": self.status, "message": self.message, "faults": faults}
        return JSONResponse({"error": error}, self.status, self.headers)
