"""What all commands share: ``--json``, ``--debug``, ``--root``, an example in the help, and how the result is printed.

A command is a plain function ``(call, ...) -> dict``: it returns its JSON document and does not print. `command` adds
the common options to its signature, because Typer has no options that every command inherits *after* its name.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from fdsearch.cli.errors import print_json
from fdsearch.cli.progress import open_progress
from fdsearch.progress import Progress

Document = dict[str, Any]
"""What a command returns: the value of ``--json``."""

Command = Callable[..., Document | None]

Root = Annotated[
    Path, typer.Option("--root", envvar="FDSEARCH_ROOT", metavar="DIR", help="Where runs, caches and the registry lie.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; progress goes to stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]


@dataclass(frozen=True)
class Call:
    """What every command is given besides its own arguments."""

    root: Path
    progress: Progress
    emit: Callable[[Document], None]
    """Prints the document at once, for a command that then goes on serving; it returns None."""
    out: TextIO
    """The real stdout, for a command that shows something as it happens."""
    as_json: bool


def command(
    app: typer.Typer, name: str, *, example: str, show: Callable[[Document], None]
) -> Callable[[Command], Command]:
    """Register a function as a command.

    Parameters
    ----------
    app : typer.Typer
        The application or group it belongs to.
    name : str
        As the user types it.
    example : str
        A call that works, printed under the help.
    show : callable
        Prints the document for a person.
    """

    def register(function: Command) -> Command:
        @functools.wraps(function)
        def invoke(*, as_json: bool, debug: bool, root: Path, **arguments: Any) -> None:
            # `debug` is read by main() from the arguments, since parsing itself may fail.
            stdout, write = sys.stdout, print_json if as_json else show

            def emit(document: Document) -> None:
                with redirect_stdout(stdout):
                    write(document)

            # Whatever a library prints goes to stderr: stdout carries the result and nothing else.
            with open_progress() as progress, redirect_stdout(sys.stderr):
                document = function(Call(root.absolute(), progress, emit, stdout, as_json), **arguments)
            if document is not None:
                emit(document)

        invoke.__signature__ = _with_common_options(function)  # type: ignore[attr-defined]
        invoke.__annotations__ = {}
        app.command(name, epilog=f"Example: {example}")(invoke)
        return function

    return register


def _with_common_options(function: Callable[..., Any]) -> inspect.Signature:
    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    common = [
        inspect.Parameter("as_json", keyword, default=False, annotation=Json),
        inspect.Parameter("debug", keyword, default=False, annotation=Debug),
        inspect.Parameter("root", keyword, default=Path(".fdsearch"), annotation=Root),
    ]
    return inspect.Signature([*(parameter.replace(kind=keyword) for parameter in own), *common])
