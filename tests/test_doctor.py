"""The doctor answers on any machine, with a remedy for all that is not in order, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from fdsearch import doctor


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    return doctor.examine(tmp_path_factory.mktemp("root") / "not" / "yet")


def test_every_finding_is_whole(checks: list[dict[str, str]]) -> None:
    assert {check["status"] for check in checks} <= {"ok", "warning", "missing", "failed"}
    assert all(check["found"] for check in checks)
    assert all(bool(check["fix"]) == (check["status"] != "ok") for check in checks)


def test_it_looks_at_all_that_can_be_missing(checks: list[dict[str, str]]) -> None:
    names = {check["name"] for check in checks}
    assert {"fdsearch", "python", "processors", "memory", "extra train", "devices", "sqlite", "root", "disk"} <= names
    assert any(name.startswith("weights") for name in names)


def test_what_the_tests_need_is_here(checks: list[dict[str, str]]) -> None:
    status = {check["name"]: check["status"] for check in checks}
    assert (status["extra train"], status["devices"], status["root"]) == ("ok", "ok", "ok")


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    assert all(check.status == "ok" for check in doctor._storage(tmp_path / "root"))
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Rights do not bind root, who runs tests in containers; a folder that vanished meanwhile fails for everybody.
    monkeypatch.setattr(doctor, "_nearest_folder", lambda path: tmp_path / "vanished")
    check = doctor._storage(tmp_path)[-1]
    assert (check.name, check.status) == ("root", "failed")
    assert "--root" in check.fix


def test_a_tensorflow_that_does_not_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DEVICE_TIMEOUT_S", 0.01)
    [check] = doctor._devices()
    assert (check.name, check.status) == ("devices", "failed")
