"""From a request's body to the bytes of its pictures, within limits that hold before memory is spent on it.

A body is one picture, or a multipart form of several. What the bytes hold is `imaging`'s question, asked later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdsearch.errors import Fault
from fdsearch.serving.refusing import Refusal

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.types import Message, Receive

MAX_PICTURES = 32
"""Most pictures in one request."""

BODY_S = 30.0
"""A body must have arrived after so many seconds: a slow client holds one of few places."""

GROUPS = "groups"
"""Fields of a form that name the part of each picture, in their order."""

_MAX_FIELD = 1000


@dataclass(frozen=True)
class Sent:
    """Pictures of one request.

    Parameters
    ----------
    names : tuple of str
        As the client calls them; ``picture N`` (from 1) where it does not.
    contents : tuple of bytes
        Of each the whole file.
    groups : tuple of str or None
        The part of each; None: each picture is a part of its own.
    """

    names: tuple[str, ...]
    contents: tuple[bytes, ...]
    groups: tuple[str, ...] | None = None


async def read_pictures(request: Request, max_bytes: int) -> Sent:
    """Read a request's pictures.

    Parameters
    ----------
    request : Request
    max_bytes : int
        Of the whole body.

    Raises
    ------
    Refusal
        400 for a form that is broken or has too many parts, 408 for a body that takes too long, 413 for one that is too
        large, 422 for a form that does not say what to predict.
    """
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(request, max_bytes)
    except TimeoutError as error:
        raise Refusal(408, f"the pictures did not arrive within {BODY_S:.0f} s") from error


async def _read(request: Request, max_bytes: int) -> Sent:
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request

    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    body = _Body(request.receive, max_bytes, _form_end(request))
    capped = Request(request.scope, body.receive)
    try:
        if not body.end:
            return Sent(("picture 1",), (await capped.body(),))
        async with capped.form(max_files=MAX_PICTURES, max_fields=MAX_PICTURES, max_part_size=_MAX_FIELD) as form:
            return await _of_form(form)
    except HTTPException as error:
        raise Refusal(error.status_code, f"the form cannot be read: {error.detail}") from error
    except ClientDisconnect as error:
        raise Refusal(400, "the client left before its pictures had arrived") from error


def _form_end(request: Request) -> bytes:
    """What ends a request's form; empty where it holds none."""
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind.lower() != b"multipart/form-data":
        return b""
    if options.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        # Names would be decoded by whatever codec of Python's a client names.
        raise Refusal(415, "a form in another character set than UTF-8")
    return b"--%b--" % options.get(b"boundary", b"")


class _Body:
    """Counts what arrives, as a body need not declare its size, nor truly, and looks for the end of its form."""

    def __init__(self, receive: Receive, max_bytes: int, end: bytes) -> None:
        self._receive, self._max_bytes, self._arrived, self._tail = receive, max_bytes, 0, b""
        self.end, self.ended = end, False

    async def receive(self) -> Message:
        from starlette.formparsers import MultiPartException

        message = await self._receive()
        chunk = message.get("body", b"")
        self._arrived += len(chunk)
        if self._arrived > self._max_bytes:
            raise _too_large(self._max_bytes)
        if self.end and not self.ended:
            self.ended = self.end in self._tail + chunk
            self._tail = (self._tail + chunk)[1 - len(self.end) :]
            if not self.ended and not message.get("more_body", False):
                # The parser would leave out the picture at which it broke off, perhaps the worst of its part.
                raise MultiPartException("it breaks off before its end")
        return message


async def _of_form(form: FormData) -> Sent:
    items: Sequence[tuple[str, Any]] = form.multi_items()
    files = [value for _, value in items if not isinstance(value, str)]
    fields = [(name, value) for name, value in items if isinstance(value, str)]
    faults = [
        Fault(
            name[:100], "a field without a file name", f"pictures, and {GROUPS}", "send it as a file, or leave it out"
        )
        for name, _ in fields
        if name != GROUPS
    ]
    groups = tuple(value for name, value in fields if name == GROUPS)
    if not files:
        faults.append(Fault("the form", "no picture", "at least one file", "curl -F pictures=@part.png ..."))
    elif groups and len(groups) != len(files):
        faults.append(Fault(GROUPS, f"{len(groups)} of them", f"one for each of {len(files)} pictures"))
    if faults:
        raise Refusal(422, "the form does not say what to predict", faults)
    names = tuple(file.filename or f"picture {number}" for number, file in enumerate(files, start=1))
    return Sent(names, tuple([await file.read() for file in files]), groups or None)


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(413, f"more than {max_bytes:,} bytes in one request")
