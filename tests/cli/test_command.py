"""What every command has: options, help with an example that parses, and a clean stdout."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from fdsearch.cli.app import app
from fdsearch.cli.command import Call, command

EXPECTED = {
    *("demo", "init", "run", "search", "select", "train", "status", "stop", "logs", "space", "dashboard", "report"),
    *("data audit", "data fetch", "data synthesize", "models list", "models fetch"),
    *("registry list", "registry show", "registry verify", "registry promote", "predict", "doctor"),
    *("cache list", "cache clear"),
    *("refit", "reproduce", "serve", "drift", "registry rollback", "registry log", "registry head"),
    *("registry diff", "registry gc", "registry export", "registry import"),
}


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, child in group.commands.items():
        if hasattr(child, "commands"):
            yield from leaves(child, (*path, name))
        else:
            yield " ".join((*path, name)), child


COMMANDS = dict(leaves(typer.main.get_command(app)))


def test_the_commands_are_those_of_the_design() -> None:
    assert set(COMMANDS) == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_command_has_help_an_example_and_the_common_options(name: str) -> None:
    parsed = COMMANDS[name]
    assert parsed.help and parsed.help.strip().endswith(".")
    options = {option for parameter in parsed.params for option in parameter.opts}
    assert {"--json", "--debug", "--root"} <= options
    assert all(parameter.help for parameter in parsed.params)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_example_in_the_help_is_a_valid_call(name: str) -> None:
    example = COMMANDS[name].epilog.removeprefix("Example: ")
    assert example.startswith(f"fdsearch {name}")
    arguments = shlex.split(example.removeprefix(f"fdsearch {name}").split(">")[0])
    COMMANDS[name].make_context(name, arguments)


@pytest.fixture
def noisy() -> typer.Typer:
    own = typer.Typer()

    @own.callback()
    def root() -> None: ...

    def work(call: Call, times: Annotated[int, typer.Option("--times")] = 2) -> dict[str, object]:
        """Print where a result belongs."""
        print("a library talks")
        call.progress.say("half way")
        return {"times": times, "root": str(call.root)}

    def serve(call: Call) -> None:
        """Print the document, then go on."""
        call.emit({"url": "here"})
        print("a library talks")

    def show(document: dict[str, object]) -> None:
        print(f"shown {document}")

    command(own, "work", example="x work", show=show)(work)
    command(own, "serve", example="x serve", show=show)(serve)
    return own


def test_json_is_all_that_stands_on_stdout(noisy: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    noisy(["work", "--times", "3", "--json", "--root", "some"], standalone_mode=False)
    streams = capsys.readouterr()
    assert json.loads(streams.out) == {"times": 3, "root": str(Path("some").absolute())}
    assert streams.err.splitlines() == ["a library talks", "half way"]


def test_a_person_sees_what_show_prints(noisy: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    noisy(["work", "--root", "/r"], standalone_mode=False)
    assert capsys.readouterr().out == "shown {'times': 2, 'root': '/r'}\n"


def test_a_command_that_serves_emits_its_document_first(noisy: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    noisy(["serve", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == {"url": "here"}


def test_stdout_is_given_back(noisy: typer.Typer) -> None:
    before = sys.stdout
    noisy(["work"], standalone_mode=False)
    assert sys.stdout is before
