"""A wheelhouse is complete for the box it is for, whatever Python packs it, and says what is in it."""

from __future__ import annotations

import doctest
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import target
import wheelhouse
from closure import Wheel, close
from packaging.requirements import Requirement
from small_wheels import make_wheel, make_wheelhouse
from target import Target

from fdsearch.errors import ConfigError, ConflictError

APPLICATION = [
    "base",
    'tomli; python_version < "3.12"',
    'colorama; sys_platform == "win32"',
    'tensors[fast]>=2; extra == "train"',
    'app[train]; extra == "all"',
    'base>=4; extra == "future"',
]


def test_the_examples_of_the_target_hold() -> None:
    assert doctest.testmod(target).failed == 0


@pytest.fixture
def wheels(tmp_path: Path) -> list[Wheel]:
    """An application with what it may ask for, but not everything."""
    fast = ['cuda; extra == "fast"', 'docs; extra == "docs"']
    paths = [
        make_wheel(tmp_path, "app", requires=APPLICATION, extras=["train", "all", "future"]),
        make_wheel(tmp_path, "base", "3.1"),
        make_wheel(tmp_path, "tomli"),
        make_wheel(tmp_path, "tensors", "2.1rc1", requires=fast, extras=["fast", "docs"]),
        make_wheel(tmp_path, "cuda", requires=["tensors"]),
        make_wheel(tmp_path, "unneeded", requires=["absent"]),
    ]
    return [Wheel.read(path) for path in paths]


@pytest.mark.parametrize(
    ("root", "python", "needed"),
    [
        ("app", "3.11", "app base tomli"),
        ("app", "3.13", "app base"),
        ("app[train]", "3.13", "app base cuda tensors"),
        ("app[all]", "3.11", "app base cuda tensors tomli"),
        ("tensors", "3.13", "tensors"),
    ],
)
def test_what_a_target_needs(wheels: list[Wheel], root: str, python: str, needed: str) -> None:
    found = close(wheels, [Requirement(root)], Target(python, "x86_64").markers())
    assert (sorted(found.needed), found.missing) == (needed.split(), {})


@pytest.mark.parametrize(
    ("root", "missing"),
    [
        ("app[train]", {"tomli": "app", "cuda": "tensors"}),
        ("app[future]", {"tomli": "app", "base>=4": "app"}),
        ("pip", {"pip": "you"}),
    ],
)
def test_what_is_missing_and_who_asks_for_it(wheels: list[Wheel], root: str, missing: dict[str, str]) -> None:
    here = [wheel for wheel in wheels if wheel.name not in ("tomli", "cuda")]
    assert close(here, [Requirement(root)], Target("3.11", "x86_64").markers()).missing == missing


def test_packages_within_a_package_are_not_it(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "outer", requires=["base"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("outer/_vendor/inner-9.dist-info/METADATA", "Metadata-Version: 2.1\nName: inner\nVersion: 9\n")
    assert [str(need) for need in Wheel.read(path).requires] == ["base"]


@pytest.mark.parametrize("name", ["app-1-py3-none-any.whl", "app.whl"])
def test_what_is_no_wheel_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("app.py", "")
    with pytest.raises(ValueError, match=r"METADATA|wheel"):
        Wheel.read(tmp_path / name)


def test_the_list_names_every_file_with_its_hash(tmp_path: Path) -> None:
    folder = make_wheelhouse(tmp_path / "house", Target())
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    listed = {line.split("  ", 1)[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert listed == files - {"SHA256SUMS"}
    assert {"install.sh", "air-gap.md", "requirements.txt", "target.txt", "weights/some.h5"} < listed


def test_another_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConflictError, match="would replace something else"):
        wheelhouse.pack(tmp_path, "serve", "3.12", [])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("extra", "python", "weights"),
    [("serve", "3.10", []), ("serve", "python3.12", []), ("a b", "3.12", []), ("serve", "3.12", ["efficientnet_lite"])],
)
def test_what_makes_no_sense_is_refused_before_anything_is_collected(
    tmp_path: Path, extra: str, python: str, weights: list[str]
) -> None:
    with pytest.raises(ConfigError):
        wheelhouse.pack(tmp_path / "house", extra, python, weights)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("named", "passed_on"), [("3.12", ["--python", "3.12"]), ("/usr/bin/python3.12", [])])
def test_a_version_alone_is_that_of_the_other_box(named: str, passed_on: list[str]) -> None:
    command = ["make", "--dry-run", "--assume-old=.venv/.installed", "wheelhouse", f"PYTHON={named}", "EXTRA=gpu"]
    alone = {"PATH": os.environ["PATH"]}  # these tests may themselves be run by make
    done = subprocess.run(command, cwd=wheelhouse.REPOSITORY, env=alone, capture_output=True, text=True, check=True)
    words = done.stdout.replace("\\\n", " ").split()
    assert words[words.index("--weights") + 2 :] == passed_on
