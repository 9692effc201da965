"""The dashboard as a person starts it: a real server in its own process, and what its HTTP API can do to a study."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
import pytest
from browser import MISSING, PROGRAM, shown
from watched_run import HOSTILE, STUDY, write_run, write_trial

from fdsearch.pipeline.trial_page import TrialPages

PATIENCE_S = 90


@dataclass
class Page:
    """A running dashboard and the study it shows."""

    address: dict[str, str]
    process: subprocess.Popen[str]
    study: optuna.Study
    folder: Path

    @property
    def base(self) -> str:
        return self.address["url"].removesuffix("/dashboard")

    def ask(self, path: str, method: str = "GET", body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
        return content

    def trials(self) -> list[dict[str, Any]]:
        detail: list[dict[str, Any]] = json.loads(self.ask("/api/studies/1"))["trials"]
        return detail

    def status_of(self, path: str) -> int:
        try:
            self.ask(path)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        return 200


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what a refresh brings; a bound, no measurement."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    root = tmp_path_factory.mktemp("root")
    study = write_run(root)
    command = [sys.executable, "-m", "fdsearch", "dashboard", "tiles", "--port", "0", "--json", "--root", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            text = "".join(iter(process.stdout.readline, "}\n"))
            page = Page(json.loads(text + "}"), process, study, root / "runs" / "tiles")
            eventually(lambda: listening(process.pid) != [])
            yield page
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM


def listening(pid: int) -> list[str]:
    connections = psutil.Process(pid).net_connections("tcp")
    return [connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN]


def snapshot(study: optuna.Study) -> list[Any]:
    """All that a database says of its trials."""
    return optuna.load_study(study_name=study.study_name, storage=study._storage).get_trials()


def test_it_listens_on_loopback_alone_and_says_how_to_reach_it(page: Page) -> None:
    port = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/dashboard", page.address["url"])
    assert port is not None
    assert re.fullmatch(rf"ssh -L {port[1]}:127\.0\.0\.1:{port[1]} \S+@\S+", page.address["ssh"])
    assert listening(page.process.pid) == ["127.0.0.1"]


def test_each_finished_trial_has_a_note_with_pictures(page: Page) -> None:
    notes = {trial["number"]: trial["note"]["body"] for trial in page.trials()}
    pictures = re.findall(r"\]\((/pictures/[^)]*)\)", notes[0])
    assert [path.rpartition("/")[2] for path in pictures] == ["curves.svg", "confusion.svg"]
    for path in pictures:
        assert ET.fromstring(page.ask(path)).tag.endswith("svg")
    assert "exception" in notes[4] and not notes[5], "a failed trial says why; a running one has no note yet"


@pytest.mark.parametrize(
    "path", ["0123456789ab/99/curves.svg", "../../study.db", "0123456789ab/0/other.svg", "xyz/0/curves.svg", ""]
)
def test_other_pictures_do_not_exist(page: Page, path: str) -> None:
    assert page.status_of(f"/pictures/{path}") == 404


@pytest.mark.parametrize(("host", "status"), [("localhost:1", 200), ("evil.example", 403), ("127.0.0.1.evil:80", 403)])
def test_a_page_that_borrows_the_address_reads_nothing(page: Page, host: str, status: int) -> None:
    request = urllib.request.Request(page.base + "/api/studies", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == status
    except urllib.error.HTTPError as error:
        assert error.code == status


def test_what_is_done_there_reaches_only_the_copy_which_heals(page: Page) -> None:
    before, running = snapshot(page.study), page.trials()[5]
    assert running["state"] == "Running"
    page.ask(f"/api/trials/{running['trial_id']}/user-attrs", "POST", {"user_attrs": {"mine": "1"}})
    page.ask(f"/api/trials/{running['trial_id']}/tell", "POST", {"state": "Complete", "values": [99.0]})
    page.ask("/api/studies/1", "DELETE", {})
    assert snapshot(page.study) == before
    eventually(lambda: page.status_of("/api/studies/1") == 200)
    states = [trial.state.name.capitalize() for trial in before]
    eventually(lambda: [trial["state"] for trial in page.trials()] == states)
    assert snapshot(page.study) == before


def test_a_search_goes_on_meanwhile_and_shows(page: Page) -> None:
    labels = np.arange(24) % len(HOSTILE)
    known = len(snapshot(page.study))
    for _ in range(5):
        write_trial(page.study, page.folder / "trials", labels)
        page.trials()
    eventually(lambda: len(page.trials()) == known + 5 and bool(page.trials()[-1]["note"]["body"]))


def test_a_study_moved_aside_leaves_the_page_standing(page: Page) -> None:
    aside = page.folder.with_name("tiles.aside")
    page.folder.rename(aside)
    time.sleep(7)  # one refresh that fails
    try:
        assert page.status_of("/api/studies/1") == 200
    finally:
        aside.rename(page.folder)


def test_ending_it_leaves_nothing(tmp_path: Path) -> None:
    study = write_run(tmp_path / "root", n_trials=1)
    before, temporary = snapshot(study), tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "fdsearch", "dashboard", "tiles", "--port=0", f"--root={tmp_path}/root"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"TMPDIR": str(temporary)}
    ) as process:
        eventually(lambda: listening(process.pid) != [])
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    assert list(temporary.iterdir()) == []
    assert snapshot(study) == before


def test_a_note_holds_no_character_that_means_something(tmp_path: Path) -> None:
    study = write_run(tmp_path, n_trials=1)
    pages = TrialPages(tmp_path / "runs" / "tiles")
    for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL)):
        note = pages.note(STUDY, trial)
        assert not re.search(r"[<>`$]|script\b.*[()]|www\.|://", re.sub(r"&#\d+;", "", note))
        assert "](" not in re.sub(r"!\[[a-z ]+\]\(/pictures/[0-9a-z/.]+\)", "", note)


def test_trials_of_earlier_data_keep_their_pictures(tmp_path: Path) -> None:
    study = write_run(tmp_path, n_trials=1)
    folder = tmp_path / "runs" / "tiles"
    pages = TrialPages(folder)
    picture = pages.picture("0123456789ab/0/confusion.svg")
    (folder / "trials").rename(folder / "trials@0123456789ab")
    (folder / "trials").mkdir()
    assert picture and pages.picture("0123456789ab/0/confusion.svg") == picture
    (folder / "trials@0123456789ab" / "labels.json").unlink()
    note = pages.note(STUDY, study.get_trials()[0])
    assert "curves.svg" in note and "confusion.svg" not in note


@pytest.mark.slow
def test_a_browser_shows_the_note_and_runs_nothing_of_it(page: Page, tmp_path: Path) -> None:
    if PROGRAM is None:
        pytest.skip(MISSING)
    dom = shown(f"{page.base}/dashboard/studies/1/trials?numbers=0", tmp_path, "--virtual-time-budget=15000")
    assert len(re.findall(r'<img alt="[^"]*"[^>]* src="/pictures/', dom)) == 2
    assert "<title>owned" not in dom and dom.count("<script") == 1, "the bundle is the only script"
    assert "&lt;script&gt;" in dom, "a label is shown as it is"
    assert "<b>b</b>" not in dom and 'example.org/p.png"' not in dom and 'href="http://www' not in dom
