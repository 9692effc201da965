"""Progress in a pipe is lines, on a terminal bars; neither steers the terminal nor touches stdout."""

from __future__ import annotations

import io
import sys

import pytest

from fdsearch.cli.progress import BarProgress, LineProgress, open_progress
from fdsearch.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with open_progress() as progress:
        for done in range(0, 1001):
            progress.track("decoding", done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert (lines[0], lines[-1]) == ("decoding: 0 of 1000", "decoding: 1000 of 1000")


def test_tasks_are_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    progress = LineProgress()
    progress.track("a", 1, 2)
    progress.track("b", 1, 2)
    progress.track("a", 1, 2)
    progress.track("empty", 0, 0)
    assert capsys.readouterr().err.splitlines() == ["a: 1 of 2", "b: 1 of 2", "empty: 0 of 0"]


def test_a_terminal_gets_bars_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    with open_progress() as progress:
        assert isinstance(progress, BarProgress)
        progress.say("before [bold]any bar")
        progress.track("fold [1]", 1, 2)
        progress.say("between \x1b[2J [red]bars")
        progress.track("fold [1]", 2, 2)
        progress.track("fold [1]", 1, 2)
    shown = screen.getvalue()
    assert "before [bold]any bar" in shown and "between ?[2J [red]bars" in shown and "fold [1]" in shown
    assert capsys.readouterr().out == ""


def test_both_are_what_the_pipeline_expects() -> None:
    kinds: list[Progress] = [LineProgress(), BarProgress()]
    assert len(kinds) == 2
