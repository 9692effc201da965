"""The socket and the loop under the service: uvicorn, as `fdsearch serve` and the tests run it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from fdsearch.errors import ConflictError, Fault

if TYPE_CHECKING:
    from fastapi import FastAPI
    from uvicorn import Server

KEEP_ALIVE_S = 30
GRACE_S = 10
"""Requests that are under way when the service ends are answered within this time."""


def open_socket(host: str, port: int) -> socket.socket:
    """Listen, so that whoever is told the address from now on waits instead of failing.

    Parameters
    ----------
    host : str
        An address or a name of this machine.
    port : int
        0 takes a free one.

    Raises
    ------
    ConflictError
        If the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        got = error.strerror or str(error)
        fault = Fault(f"{host}, port {port}", got, "an address that is free", "give --port another number, or 0")
        raise ConflictError("the address cannot be used", [fault]) from error
    # Connections inherit it. Else an answer's body waits 40 ms for the client to acknowledge its headers: asyncio sees
    # to it only for sockets that it made itself.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def url_of(listening: socket.socket) -> str:
    """Where a browser of this machine finds it.

    Examples
    --------
    >>> with open_socket("127.0.0.1", 0) as listening:
    ...     url_of(listening).startswith("http://127.0.0.1:")
    True
    """
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server(app: FastAPI) -> Server:
    """The server, not yet running; ``run(sockets=[...])`` returns after SIGINT, SIGTERM or ``should_exit``."""
    import uvicorn

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)
