"""Wheels of a few lines, real enough for pip, and a wheelhouse made of them."""

from __future__ import annotations

import base64
import ensurepip
import hashlib
import sysconfig
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import wheelhouse
from closure import Wheel
from target import Target

PROGRAM = "def main():\n    import part\n\n    print('fdsearch', part.VERSION)\n"


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1",
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    code: str = "",
    program: bool = False,
) -> Path:
    """Write a pure wheel with one module; `program` installs its ``main`` under its name."""
    about = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in extras] + [f"Requires-Dist: {need}" for need in requires]
    files = {
        f"{name}.py": code,
        f"{about}/METADATA": "\n".join(lines) + "\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if program:
        files[f"{about}/entry_points.txt"] = f"[console_scripts]\n{name} = {name}:main\n"
    record = [f"{path},sha256={_digest(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*record, f"{about}/RECORD,,"]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def pip_wheel() -> Path:
    """The wheel of pip that Python brings along."""
    places = [
        Path(ensurepip.__file__).parent / "_bundled",
        Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or "/absent"),
    ]
    found = [path for place in places for path in sorted(place.glob("pip-*.whl"))]
    if not found:
        pytest.skip("this Python has no wheel of pip (Debian: python3-venv)")
    return found[-1]


def make_wheelhouse(folder: Path, target: Target) -> Path:
    """A wheelhouse whose fdsearch needs one other package and says that one's version."""
    wheels = [
        make_wheel(folder / "wheels", "fdsearch", requires=["part"], code=PROGRAM, program=True),
        make_wheel(folder / "wheels", "part", code="VERSION = 1\n"),
    ]
    pip = folder / "wheels" / pip_wheel().name
    pip.write_bytes(pip_wheel().read_bytes())
    (folder / "weights").mkdir()
    (folder / "weights" / "some.h5").write_bytes(b"weights")
    needed = [Wheel.read(path) for path in [*wheels, pip]]
    wheelhouse.write_lists(folder, needed, target, {"weights": "some.h5"})
    return folder
