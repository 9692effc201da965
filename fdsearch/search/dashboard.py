"""optuna-dashboard on loopback beside a study, on a copy: what is deleted there is not deleted here.

`dashboard_copy` keeps the copy; the pictures that its notes show are drawn by whoever calls `serve`.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from fdsearch.progress import Progress
from fdsearch.search.dashboard_copy import BUSY_TIMEOUT_S, Mirror, Note

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

HOST = "127.0.0.1"
"""optuna-dashboard has no authentication, so it never listens elsewhere; `ssh -L` brings it to another desk."""

PICTURES = "/pictures/"
"""Where the pictures of the notes lie. The dashboard's Markdown drops data URIs but loads what lies beside the page."""

Picture = Callable[[str], bytes | None]
"""Draws the SVG of a path below `PICTURES`, or returns None where there is none."""

_FILE_REFRESH_S, _SERVER_REFRESH_S = 5.0, 15.0
_HEADERS = [
    ("Content-Type", "image/svg+xml"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
]


def serve(location: str | Path, name: str, port: int, note: Note, picture: Picture, progress: Progress) -> None:
    """Serve the dashboard of a study until interrupted.

    optuna-dashboard can delete studies and finish trials, so it gets a copy that is made again every 5 seconds (every
    15 from a server), which also undoes what was done in it.

    Parameters
    ----------
    location : str or Path
        The study's SQLite file, or the URL of its PostgreSQL database.
    name : str
        The study's name.
    port : int
        On 127.0.0.1.
    note : callable
        Makes the note of a finished trial.
    picture : callable
        Draws the pictures that the notes show, when a page asks for them; called in several threads.
    progress : Progress
        Is told when the copy cannot be refreshed; the page then goes on with the state it has.
    """
    interval = _SERVER_REFRESH_S if "://" in str(location) else _FILE_REFRESH_S
    study_note = (
        f"A copy of the study, made again every {interval:.0f} seconds. Whatever is deleted, told or written here is "
        "undone then, and never reaches the study. The best of many trials scores higher than it is: the report of the "
        "run says by how much."
    )
    with tempfile.TemporaryDirectory(prefix="fdsearch-dashboard-", ignore_cleanup_errors=True) as folder:
        mirror = Mirror(location, name, Path(folder), note, study_note)
        mirror.refresh()
        ended = threading.Event()
        refresher = threading.Thread(target=_keep_fresh, args=(mirror, interval, ended, progress), daemon=True)
        try:
            with make_server(HOST, port, _application(mirror.database, picture), _Server, _Quiet) as server:
                refresher.start()
                server.serve_forever()
        finally:
            ended.set()
            if refresher.ident is not None:
                refresher.join()


def _keep_fresh(mirror: Mirror, interval: float, ended: threading.Event, progress: Progress) -> None:
    said = ""
    while not ended.wait(interval):
        try:
            mirror.refresh()
            said = ""
        except Exception as error:  # the server restarts, the disk is full, a run moves aside: the page stays
            text = f"the copy could not be refreshed: {type(error).__name__}: {error}"
            if text != said:
                progress.say(text)
            said = text


def _application(database: Path, picture: Picture) -> WSGIApplication:
    import optuna
    from optuna_dashboard import wsgi

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    timeout = {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    dashboard: WSGIApplication = wsgi(optuna.storages.RDBStorage(f"sqlite:///{database}", engine_kwargs=timeout))

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        # A page elsewhere that gives its own name this address must not read what is shown here (DNS rebinding).
        if str(environ.get("HTTP_HOST", "")).rpartition(":")[0] not in ("127.0.0.1", "localhost"):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"only 127.0.0.1 and localhost are answered\n"]
        path = str(environ.get("PATH_INFO", ""))
        if not path.startswith(PICTURES):
            return dashboard(environ, start_response)
        drawn = picture(path.removeprefix(PICTURES))
        if drawn is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"no such picture\n"]
        start_response("200 OK", [*_HEADERS, ("Content-Length", str(len(drawn)))])
        return [drawn]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    """One thread per connection: a browser opens some that it does not use, which would block the others."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Says nothing of requests that went well."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
