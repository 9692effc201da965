"""Who may ask the service: anybody on this machine, or whoever knows the token. Never a page of another site.

Without a token only loopback is listened on, and there a browser must not be turned against it: names that merely point
here (DNS rebinding) and requests that other pages send are refused. `service` puts this in front of everything.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fdsearch.errors import ConfigError, Fault
from fdsearch.serving.refusing import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = frozenset({"/", "/page.css", "/page.js", "/healthz", "/readyz"})
"""What needs no token: the page, which asks for it, and the questions whether the service lives."""

_SHORTEST_TOKEN, _LONGEST_TOKEN = 16, 1000
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_token(path: Path | None, host: str) -> str | None:
    """Read the token that a service at `host` asks for.

    Returns
    -------
    str or None
        None where no file is given; then everybody on this machine may ask.

    Raises
    ------
    ConfigError
        If other machines can reach the service and there is no token, or it is too short or no plain text.
    """
    if path is None:
        if is_loopback(host):
            return None
        fix = "write a long random text into a file that only you can read, and give it as --token-file"
        fault = Fault("--host", host, "a token for a service that other machines can reach", fix)
        raise ConfigError("anybody in the network could use this service", [fault])
    with path.open("rb") as stream:
        content = stream.read(2 * _LONGEST_TOKEN).strip()
    if not _SHORTEST_TOKEN <= len(content) <= _LONGEST_TOKEN or not re.fullmatch(rb"[!-~]+", content):
        expected = f"{_SHORTEST_TOKEN} to {_LONGEST_TOKEN} visible ASCII characters"
        fault = Fault(str(path), f"{len(content)} bytes", expected, "make one with: openssl rand -hex 32")
        raise ConfigError("this is no token", [fault])
    return content.decode("ascii")


class Guard:
    """Refuses who may not ask; adds the headers that keep a browser from doing more than the page says.

    Parameters
    ----------
    app : ASGI application
    token : str or None
        None: everybody on this machine may ask.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._foreign(headers) if self._token is None else self._stranger(headers, scope["path"])
        await (self._app if refusal is None else refusal.response())(scope, receive, guarded)

    def _stranger(self, headers: dict[bytes, str], path: str) -> Refusal | None:
        kind, _, given = headers.get(b"authorization", "").encode("latin-1").partition(b" ")
        right = hmac.compare_digest(given.strip(b" "), self._token or b"")
        if path in OPEN or (right and kind.lower() == b"bearer"):
            return None
        return Refusal(401, "a token is needed: Authorization: Bearer TOKEN", headers={"WWW-Authenticate": "Bearer"})

    def _foreign(self, headers: dict[bytes, str]) -> Refusal | None:
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        try:
            if not is_loopback(urlsplit(f"//{host}").hostname or ""):
                return Refusal(403, "only localhost and addresses of this machine alone are answered")
            if origin is not None and urlsplit(origin).netloc != host:
                return Refusal(403, "pages of other sites are not answered")
        except ValueError:  # no address at all
            return Refusal(403, "its Host or Origin cannot be read")
        return None
