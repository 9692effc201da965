"""The application: every command and group, in the order of the help.

The modules imported here import nothing heavy at their top, so that ``fdsearch --help`` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from fdsearch.cli import cache, data, doctor, drift, models, predict, refit, registry, runs, serve, studies

app = typer.Typer(
    name="fdsearch",
    help="Find, prove and ship the best image classifier for an inspection line.",
    epilog="Start with `fdsearch demo`, or with `fdsearch init FOLDER` on your own pictures.",
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
)


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"fdsearch {installed('fdsearch')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


studies.register(app)
runs.register(app)
refit.register(app)
app.add_typer(data.group)
app.add_typer(models.group)
app.add_typer(registry.group)
app.add_typer(cache.group)
predict.register(app)
drift.register(app)
serve.register(app)
doctor.register(app)
