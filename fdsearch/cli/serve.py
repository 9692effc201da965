"""``fdsearch serve``: a model behind HTTP on this machine, or for others who know a token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fdsearch.cli import show
from fdsearch.cli.arguments import Model
from fdsearch.cli.command import Call, command
from fdsearch.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    command(app, "serve", example="fdsearch serve magnetic_tile@champion --port 8000", show=show.facts)(serve)


def serve(
    call: Call,
    model: Model,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; one that others reach needs --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="Holds the token that requests must carry.",
            show_default=False,
        ),
    ] = None,
    max_queue: Annotated[
        int,
        typer.Option(
            "--max-queue",
            min=1,
            max=10_000,
            help="Requests answered or waiting at the same time; further ones get 429.",
        ),
    ] = 3,
    max_megabytes: Annotated[
        int, typer.Option("--max-megabytes", min=1, max=1024, help="Largest request; a larger one gets 413.")
    ] = 64,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="What runs the model; default the fastest.", show_default=False),
    ] = None,
) -> None:
    """Answer pictures over HTTP, with a page to try it, until interrupted; follows promotions and rollbacks."""
    from fdsearch.serving.answering import Answering, identity
    from fdsearch.serving.following import Follower
    from fdsearch.serving.guarding import read_token
    from fdsearch.serving.listening import open_socket, server, url_of
    from fdsearch.serving.service import application

    token = read_token(token_file, host)
    with open_socket(host, port) as listening:
        follower = Follower(model, Workspace(call.root).registry, format, call.progress)
        answering = Answering(follower, max_queue, call.progress)
        try:
            serving = server(application(answering, token, max_megabytes * 1_000_000))
            follower.start()
            call.emit({"url": url_of(listening), **identity(follower.current), "follows": follower.follows})
            serving.run(sockets=[listening])
        finally:
            answering.close()
