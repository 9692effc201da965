"""Where a run keeps its study: in its folder or on a server, remembered, and without its password anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from postgres_server import PostgresServer
from small_set import study

import fdsearch
from fdsearch.errors import ConfigError, StorageError
from fdsearch.pipeline.database import VARIABLE, has_study, location, open_database
from fdsearch.pipeline.means import Means

SECRET = "s3cret-w0rd"
URL = "postgresql+psycopg://ann@db/tiles"
WITH_PASSWORD = f"postgresql://ann:{SECRET}@db/tiles"
END_S = 240.0


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def on_server(tmp_path: Path) -> Path:
    """The folder of a run that was started on a server."""
    (tmp_path / "storage.json").write_text(json.dumps({"url": URL}))
    return tmp_path


@pytest.fixture
def on_file(tmp_path: Path) -> Path:
    """The folder of a run that was started without one."""
    (tmp_path / "study.db").touch()
    return tmp_path


def test_a_new_run_goes_where_it_is_told(tmp_path: Path) -> None:
    assert not has_study(tmp_path)
    assert location(tmp_path) == str(tmp_path / "study.db")
    assert location(tmp_path, WITH_PASSWORD) == WITH_PASSWORD


def test_a_run_on_a_server_is_found_again(on_server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_study(on_server)
    assert location(on_server) == URL
    assert location(on_server, WITH_PASSWORD) == WITH_PASSWORD
    monkeypatch.setenv(VARIABLE, WITH_PASSWORD)
    assert location(on_server) == WITH_PASSWORD
    monkeypatch.setenv(VARIABLE, WITH_PASSWORD.replace("tiles", "other"))
    assert location(on_server) == URL  # to look at a run, its own database is the right one


def test_a_variable_does_not_move_a_run_in_a_file(on_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, WITH_PASSWORD)
    assert location(on_file) == str(on_file / "study.db")


@pytest.mark.parametrize("asked", [WITH_PASSWORD, WITH_PASSWORD.replace("tiles", "other")])
def test_trials_are_never_split_between_two_databases(request: pytest.FixtureRequest, asked: str) -> None:
    fixture = "on_file" if asked == WITH_PASSWORD else "on_server"
    folder: Path = request.getfixturevalue(fixture)
    before = str(folder / "study.db") if fixture == "on_file" else URL
    with pytest.raises(ConfigError) as caught:
        location(folder, asked)
    [fault] = caught.value.faults
    assert before in fault.expected
    assert fault.got.startswith("postgresql+psycopg://ann@db/")
    assert SECRET not in repr(caught.value.to_json())


@pytest.mark.parametrize("asked", ["study.db", f"postgresql//ann:{SECRET}@db/tiles", "mysql://db/tiles", "/tmp/x.db"])
def test_only_a_server_may_be_asked_for(tmp_path: Path, asked: str) -> None:
    with pytest.raises(ConfigError) as caught:
        location(tmp_path, asked)
    assert caught.value.exit_code == 2
    assert SECRET not in repr(caught.value.to_json())


def test_opening_writes_the_url_down_without_its_password(tmp_path: Path, postgres_url: str) -> None:
    url = postgres_url.replace("fdsearch@", f"fdsearch:{SECRET}@")  # a server that trusts everybody asks for none
    open_database(tmp_path, Means(storage=url), lambda: False).engine.dispose()
    assert json.loads((tmp_path / "storage.json").read_text()) == {"url": postgres_url}
    storage = open_database(tmp_path, Means(), lambda: False)
    assert storage.engine.dialect.name == "postgresql"
    storage.engine.dispose()
    assert not (tmp_path / "study.db").exists()


def test_a_server_that_was_never_reached_is_not_remembered(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        open_database(tmp_path, Means(storage="postgresql://127.0.0.1:1/tiles"), lambda: False)
    assert not has_study(tmp_path)


def command(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fdsearch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=END_S)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.fixture
def study_file(pictures: Path, tmp_path: Path) -> Path:
    raw = study(pictures, search={"n_trials": 8, "pruner": "none", "sampler": "random"})
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(raw, sort_keys=False))
    return file


def files_with(root: Path, words: str) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_file() and words.encode() in path.read_bytes():
            yield path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_roots_are_two_parents_of_one_study(study_file: Path, tmp_path: Path, postgres_url: str) -> None:
    url = postgres_url.replace("fdsearch@", f"fdsearch:{SECRET}@")
    roots = [tmp_path / "box-1", tmp_path / "box-2"]
    started = [command("search", study_file, "--json", "--root", root, **{VARIABLE: url}) for root in roots]
    documents = [answer(process) for process in started]
    for document in documents:
        assert (document["n_trials"], document["n_complete"], document["n_failed"]) == (8, 8, 0)
        assert document["best_value"] == documents[0]["best_value"]
    for root in roots:
        assert not (root / "runs" / "tiles" / "study.db").exists()
        assert not list(files_with(root, SECRET))
        [entry] = answer(command("status", "--json", "--root", root))["studies"]
        assert (entry["state"], entry["n_complete"]) == ("finished", 8)
        report = Path(answer(command("report", "tiles", "--json", "--root", root))["report"])
        assert report.stat().st_size > 10_000
    loaded = fdsearch.load_study("tiles", roots[0])
    trials = loaded.trials
    loaded._storage._backend.engine.dispose()
    assert [trial.number for trial in trials] == list(range(8))
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": 8}
    assert len({trial.user_attrs["fdsearch:parent"] for trial in trials}) == 2
    number = next(
        trial.number
        for trial in trials
        if not (roots[0] / "runs" / "tiles" / "trials" / f"{trial.number:04d}").is_dir()
    )
    document = answer(command("train", study_file, "--trial", str(number), "--json", "--root", roots[0]))
    assert document["value"] == pytest.approx(trials[number].value, abs=1e-6)
    other = command("search", study_file, "--root", roots[0], "--storage", url + "2")
    assert SECRET not in other.communicate(timeout=END_S)[1]
    assert other.returncode == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_detached_run_gets_its_password_unseen(study_file: Path, tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database().replace("fdsearch@", f"fdsearch:{SECRET}@")
    root = tmp_path / "root"
    document = answer(command("run", study_file, "--detach", "--json", "--root", root, "--storage", url))
    process = psutil.Process(document["pid"])
    try:
        status = root / "runs" / "tiles" / "storage.json"
        end = time.monotonic() + END_S
        seen: list[str] = []
        while not status.exists() or len(process.children()) == 0:
            assert time.monotonic() < end, Path(document["output"]).read_text()
            time.sleep(0.1)
        for one in (process, *process.children(recursive=True)):
            seen += one.cmdline()
        assert "run" in seen
        assert SECRET not in " ".join(seen)
    finally:
        process.terminate()
        psutil.wait_procs([process], timeout=60)
    assert not list(files_with(root, SECRET))
