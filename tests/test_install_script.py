"""install.sh: a whole environment from exactly the files that were packed, or a reason and nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_wheels import make_wheel, make_wheelhouse
from target import Target

PATIENCE_S = 60


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small wheelhouse for this box, at a path with a space."""
    return make_wheelhouse(tmp_path / "the wheelhouse", Target())


def command(house: Path, *arguments: str) -> list[str]:
    return ["sh", str(house / "install.sh"), *arguments]


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHON": sys.executable, **more}


def install(house: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(house, *arguments), env=environment(**more), cwd=house.parent, capture_output=True, text=True
    )


def reseal(house: Path) -> None:
    """Write the SHA-256 list anew, as somebody with intent would."""
    lines = [line.split("  ", 1)[1] for line in (house / "SHA256SUMS").read_text().splitlines()]
    sums = [f"{hashlib.sha256((house / name).read_bytes()).hexdigest()}  {name}\n" for name in lines]
    (house / "SHA256SUMS").write_text("".join(sums))


def says(house: Path, **values: str) -> None:
    """Let target.txt say something else, under a list that fits."""
    lines = dict(line.split("=", 1) for line in (house / "target.txt").read_text().splitlines())
    (house / "target.txt").write_text("".join(f"{key}={value}\n" for key, value in {**lines, **values}.items()))
    reseal(house)


def test_it_reads_the_folder_it_lies_in_whatever_the_shell_is_used_to(house: Path, tmp_path: Path) -> None:
    """A folder of the same name on CDPATH would be taken for the wheelhouse."""
    says(house, machine="another")  # so that nothing has to be installed
    (tmp_path / "projects" / house.name).mkdir(parents=True)
    done = subprocess.run(
        ["sh", f"{house.name}/install.sh", str(tmp_path / "installed")],
        env=environment(CDPATH=str(tmp_path / "projects")),
        cwd=house.parent,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (7, ""), done.stderr


def test_it_installs_what_was_packed_and_nothing_else(house: Path) -> None:
    make_wheel(house / "wheels", "part", "9", code="VERSION = 9\n")  # newer, and on no list
    make_wheel(house / "wheels", "pip", "99")
    settings = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONSTRAINT": "/absent", "PIP_TARGET": "/absent"}
    done = install(house, "its environment", **settings)
    assert done.returncode == 0, done.stderr
    folder = house.parent / "its environment"
    assert f"{folder}/bin/fdsearch" in done.stdout
    answer = subprocess.run([folder / "bin" / "fdsearch"], capture_output=True, text=True, check=True)
    assert answer.stdout == "fdsearch 1\n"
    assert (folder / "share/fdsearch/weights/some.h5").read_bytes() == b"weights"
    again = install(house, "its environment")
    assert again.returncode == 6 and "is in use" in again.stderr
    assert (folder / "bin" / "fdsearch").is_file()


def change_a_wheel(house: Path) -> None:
    (house / "wheels" / "part-1-py3-none-any.whl").write_bytes(make_wheel(house.parent, "part", code="").read_bytes())


def change_a_wheel_and_the_list(house: Path) -> None:
    change_a_wheel(house)
    reseal(house)


def lose_weights(house: Path) -> None:
    (house / "weights" / "some.h5").unlink()


def lose_the_list(house: Path) -> None:
    (house / "SHA256SUMS").unlink()


def change_the_script(house: Path) -> None:
    with (house / "install.sh").open("a") as script:
        script.write("\n")


@pytest.mark.parametrize(
    ("spoil", "code", "reason"),
    [
        (change_a_wheel, 5, "part-1-py3-none-any.whl: FAILED"),
        (change_the_script, 5, "install.sh: FAILED"),
        (lose_weights, 5, "weights/some.h5"),
        (lose_the_list, 5, "SHA256SUMS"),
        (change_a_wheel_and_the_list, 7, "DO NOT MATCH THE HASHES"),
        (lambda house: says(house, python="3.99"), 7, "not CPython 3.99"),
        (lambda house: says(house, machine="riscv64"), 7, "not riscv64"),
        (lambda house: says(house, glibc="2.999"), 7, "not glibc 2.999 or later"),
    ],
)
def test_another_box_or_other_files_are_refused(
    house: Path, spoil: Callable[[Path], None], code: int, reason: str
) -> None:
    spoil(house)
    done = install(house, "environment")
    assert done.returncode == code, done.stderr
    assert reason in done.stderr
    assert not (house.parent / "environment").exists()


def test_a_missing_interpreter_is_named(house: Path) -> None:
    says(house, python="3.99")
    done = install(house, "environment", PYTHON="")
    assert done.returncode == 7
    assert "there is no python3.99" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("",), ("one", "two")])
def test_a_wrong_call(house: Path, arguments: tuple[str, ...]) -> None:
    done = install(house, *arguments)
    assert done.returncode == 2
    assert "sh install.sh DIR" in done.stderr


def test_an_interrupted_installation_leaves_nothing(house: Path) -> None:
    folder = house.parent / "environment"
    with subprocess.Popen(
        command(house, str(folder)), env=environment(), stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not (folder / "pyvenv.cfg").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 143
    assert not folder.exists()


def test_the_wheelhouse_can_be_read_only(house: Path) -> None:
    copy = house.parent / "disc"
    shutil.copytree(house, copy)
    before = sorted(copy.rglob("*"))
    assert install(copy, "environment").returncode == 0
    assert sorted(copy.rglob("*")) == before
