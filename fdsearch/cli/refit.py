"""Commands that make a registered version again: `refit` on today's data, `reproduce` on its own."""

from __future__ import annotations

import typer

from fdsearch import pipeline
from fdsearch.cli import show_refit
from fdsearch.cli.arguments import Model, Plugins, means_of, plugin_files
from fdsearch.cli.command import Call, Document, command
from fdsearch.cli.runs import ExecutorName, Gpus, Workers


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    command(app, "refit", example="fdsearch refit magnetic_tile", show=show_refit.refit)(refit)
    command(app, "reproduce", example="fdsearch reproduce magnetic_tile:1", show=show_refit.reproduce)(reproduce)


def refit(
    call: Call,
    model: Model,
    workers: Workers = 1,
    gpus: Gpus = None,
    executor: ExecutorName = "local",
    plugin: Plugins = None,
) -> Document:
    """Train a version's recipe on today's data and register it as challenger; nothing is searched."""
    plugins = plugin_files(plugin)
    means = means_of(workers, gpus, executor, None, False)
    return pipeline.refit(model, call.root, plugins=plugins, means=means, progress=call.progress)


def reproduce(
    call: Call,
    model: Model,
    workers: Workers = 1,
    gpus: Gpus = None,
    executor: ExecutorName = "local",
    plugin: Plugins = None,
) -> Document:
    """Train a version's trial again on the same data and compare its score with the recorded one."""
    plugins = plugin_files(plugin)
    machine = means_of(workers, gpus, executor, None, False).machine
    return pipeline.reproduce(model, call.root, plugins=plugins, machine=machine, progress=call.progress)
