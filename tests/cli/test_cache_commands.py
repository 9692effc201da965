"""The caches as a person sees and empties them, on real entries."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fdsearch.__main__ import main
from fdsearch.data.pixel_file import PixelFileWriter, pixel_file_name
from fdsearch.search.ownership import own_study
from fdsearch.training.features import PrefixCache
from fdsearch.workspace import Workspace

N = 6
DAY = 86400


def compute(layers: Sequence[str]) -> Iterable[dict[str, NDArray[np.float32]]]:
    return [{layer: np.ones((N, 5), np.float32) for layer in layers}]


def prefix(root: Path, cut: str, age: float = 0.0) -> tuple[Path, NDArray[np.float16]]:
    """Store the outputs of a layer, last used `age` seconds ago."""
    identity = {"pixels": "ab-32-pad", "backbone": "lite0", "weights": "w"}
    cache = PrefixCache(Workspace(root).prefix, identity, "avg", N)
    array = cache.activations({cut: (5,)}, compute)[cut]
    os.utime(cache.path(cut), (time.time() - age,) * 2)
    return cache.path(cut), array


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with decoded pictures, two layers nobody uses, and a running command's debris."""
    workspace = Workspace(tmp_path)
    workspace.pixels.mkdir(parents=True)
    pixels = workspace.pixels / pixel_file_name(["a"] * N, 32, "pad")
    with PixelFileWriter(pixels, (N, 32, 32, 1)) as writer:
        for _ in range(N):
            writer.append(np.zeros((32, 32, 1), np.uint8))
        writer.commit()
    os.utime(pixels, (time.time() - DAY,) * 2)
    (workspace.pixels / "files.json").write_text("{}")
    os.utime(workspace.pixels / "files.json", (time.time() - 2 * DAY,) * 2)
    prefix(tmp_path, "old", 30 * DAY)
    prefix(tmp_path, "new")
    return tmp_path


@pytest.fixture
def call(root: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object, code: int = 0) -> dict[str, Any]:
        assert main(["cache", *map(str, arguments), "--root", str(root), "--json"]) == code
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return run


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix != ".lock")


def test_list_says_what_is_there_last_used_first(root: Path, call: Any) -> None:
    found = call("list")
    assert [row["kind"] for row in found["entries"]] == ["prefix", "pixels", "pixels", "prefix"]
    assert found["entries"][0]["what"] == "lite0 at 32 px (pad) up to new: 5 for each of 6 pictures"
    assert found["entries"][1]["what"] == "decoded pictures, 32 px, pad"
    assert found["entries"][0]["about"]["cut"] == "new"
    assert found["total_bytes"] == sum(Path(row["path"]).stat().st_size for row in found["entries"])
    assert found["prefix_bytes"] == sum(row["bytes"] for row in found["entries"] if row["kind"] == "prefix")
    assert not any(row["in_use"] for row in found["entries"])


def test_list_shows_budget_and_use(root: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FDSEARCH_CACHE_GB", "2")
    _, array = prefix(root, "new")
    found = call("list")
    assert found["prefix_budget_bytes"] == 2 * 10**9
    assert {row["about"]["cut"] for row in found["entries"] if row["in_use"]} == {"new"}
    assert len(array) == N


def test_clear_removes_everything(root: Path, call: Any) -> None:
    total = call("list")["total_bytes"]
    cleared = call("clear")
    assert (len(cleared["removed"]), cleared["kept"], cleared["freed_bytes"]) == (4, [], total)
    assert not list(files(Workspace(root).prefix)) and not list(Workspace(root).pixels.iterdir())
    assert call("list")["entries"] == []


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--kind", "prefix"], ["pixels", "pixels"]),
        (["--kind", "pixels"], ["prefix", "prefix"]),
        (["--older-than", "7d"], ["prefix", "pixels", "pixels"]),
        (["--older-than", "36h"], ["prefix", "pixels"]),
        (["--older-than", "60d"], ["prefix", "pixels", "pixels", "prefix"]),
        (["--older-than", "1h", "--kind", "pixels"], ["prefix", "prefix"]),
    ],
)
def test_clear_removes_what_was_named(call: Any, options: list[str], left: list[str]) -> None:
    assert len(call("clear", *options)["removed"]) == 4 - len(left)
    assert [row["kind"] for row in call("list")["entries"]] == left


def test_clear_keeps_what_is_read_and_says_so(root: Path, call: Any) -> None:
    path, array = prefix(root, "old")
    cleared = call("clear", "--kind", "prefix")
    assert [row["path"] for row in cleared["kept"]] == [str(path)]
    assert cleared["kept"][0]["why"] and path.exists() and path.with_suffix(".json").exists()
    np.testing.assert_array_equal(array, np.ones((N, 5)))


def test_clear_keeps_what_is_being_written_and_removes_what_dead_writers_left(root: Path, call: Any) -> None:
    store = Workspace(root).prefix
    seen: list[dict[str, Any]] = []

    def interrupted(layers: Sequence[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
        seen.append(call("clear", "--kind", "prefix"))
        yield from compute(layers)

    (store / f"{'0' * 20}-{'1' * 20}.tmp").write_bytes(b"of a dead writer")
    PrefixCache(store, {}, "avg", N).activations({"slow": (5,)}, interrupted)
    assert [len(seen[0][key]) for key in ("removed", "kept")] == [2, 1]
    assert not list(store.glob("*.tmp"))
    assert [row["about"]["cut"] for row in call("list")["entries"] if row["kind"] == "prefix"] == ["slow"]


def test_clear_keeps_the_pictures_of_a_running_study(root: Path, call: Any) -> None:
    with own_study(Workspace(root).run("tiles")):
        cleared = call("clear")
    assert {row["kind"] for row in cleared["removed"]} == {"prefix"}
    assert {row["why"] for row in cleared["kept"]} == {"tiles is running"}
    assert len(call("clear")["removed"]) == 2


def test_what_is_no_entry_is_called_foreign(root: Path, call: Any) -> None:
    np.save(Workspace(root).prefix / "mine.npy", np.zeros(3))
    (row,) = [row for row in call("list")["entries"] if row["about"] is None and row["kind"] == "prefix"]
    assert "foreign" in row["what"]


def test_an_empty_root_stays_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("list", "clear"):
        assert main(["cache", command, "--root", str(tmp_path / "none")]) == 0
    assert "empty" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_a_person_sees_a_table(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, array = prefix(root, "new")
    assert main(["cache", "list", "--root", str(root)]) == 0
    assert "up to old: 5 for each of 6 pictures" in capsys.readouterr().out
    assert main(["cache", "clear", "--root", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "a process reads or writes it" in shown and "3 files" in shown
    assert len(array) == N


@pytest.mark.parametrize(
    ("arguments", "budget"),
    [(["clear", "--kind", "pixel"], ""), (["clear", "--older-than", "week"], ""), (["list"], "much")],
)
def test_what_cannot_be_understood_is_refused(
    call: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], budget: str
) -> None:
    monkeypatch.setenv("FDSEARCH_CACHE_GB", budget)
    assert call(*arguments, code=2)["error"]["faults"]
    monkeypatch.delenv("FDSEARCH_CACHE_GB")
    assert len(call("list")["entries"]) == 4
