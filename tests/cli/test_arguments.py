"""``--set`` and ``--plugin``: values as in YAML, every fault at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fdsearch.cli.arguments import assignments, plugin_files
from fdsearch.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("epochs=8", 8),
        ("learning_rate=1e-3", 0.001),
        ("phases=head_tail", "head_tail"),
        ("unfreeze_layers=[30, 100]", [30, 100]),
        ("custom_note=a=b", "a=b"),
        ("unfreeze_layers=null", None),
    ],
)
def test_values_are_yaml(text: str, value: Any) -> None:
    assert assignments([text]) == {text.partition("=")[0]: value}


def test_every_wrong_assignment_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        assignments(["epochs", "=3", "a=1", "a=2", "b=!!python/object:os.system x", "c=.nan"])
    assert len(caught.value.faults) == 5


def test_nothing_given() -> None:
    assert assignments(None) == {}
    assert plugin_files(None) == ()


def test_plugins_are_absolute_and_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").touch()
    monkeypatch.chdir(tmp_path)
    assert plugin_files([Path("mine.py")]) == (tmp_path / "mine.py",)
    with pytest.raises(ConfigError) as caught:
        plugin_files([Path("a.py"), Path("mine.py"), Path("b.py")])
    assert len(caught.value.faults) == 2
