"""The service in this process, on a real socket, for tests that ask it over HTTP."""

from __future__ import annotations

import http.client
import json
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import urlsplit

from fdsearch.progress import Silent
from fdsearch.serving.answering import Answering
from fdsearch.serving.following import Follower
from fdsearch.serving.listening import open_socket, server, url_of
from fdsearch.serving.service import application


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        """The document in it."""
        return json.loads(self.content)


class Running:
    """A service that runs as long as the block."""

    def __init__(
        self, follower: Follower, *, token: str | None = None, max_requests: int = 8, max_bytes: int = 1_000_000
    ) -> None:
        self.follower = follower
        self.answering = Answering(follower, max_requests, Silent())
        self._server = server(application(self.answering, token, max_bytes))
        self._socket = open_socket("127.0.0.1", 0)
        self.url = url_of(self._socket)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()
        self.answering.close()

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, *, chunked: bool = False
    ) -> Reply:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=chunked)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def predict(self, pictures: Sequence[Path], groups: Sequence[str] = (), path: str = "/predict") -> Reply:
        """Send pictures as a form."""
        body, kind = form([(picture.name, picture.read_bytes()) for picture in pictures], groups)
        return self.ask("POST", path, body, {"Content-Type": kind})


def form(files: Sequence[tuple[str, bytes]], groups: Sequence[str] = ()) -> tuple[bytes, str]:
    """A multipart form of pictures, as browsers and curl write it, and its content type."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="pictures"; filename="{name}"\r\n'.encode()
        + b"Content-Type: application/octet-stream\r\n\r\n"
        + content
        + b"\r\n"
        for name, content in files
    ]
    parts += [
        f'--{mark}\r\nContent-Disposition: form-data; name="groups"\r\n\r\n{group}\r\n'.encode() for group in groups
    ]
    return b"".join([*parts, f"--{mark}--\r\n".encode()]), f"multipart/form-data; boundary={mark}"


def first_document(stream: IO[str]) -> Any:
    """The JSON document that a command printed before it goes on."""
    lines = []
    for line in stream:
        lines.append(line)
        if line == "}\n":
            break
    return json.loads("".join(lines))
