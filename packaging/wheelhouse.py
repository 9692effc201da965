"""Packs fdsearch for a box without a network: wheels, pretrained weights, a SHA-256 list, `install.sh`, in one folder.

`make wheelhouse` calls it. `target` describes the other box, `closure` proves from the wheels that nothing is missing.
docs/air-gap.md is the user's page.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from closure import Closure, Wheel, close
from packaging.requirements import InvalidRequirement, Requirement
from target import Target

from fdsearch.errors import ConfigError, ConflictError, Fault, FdsearchError, ResourceError
from fdsearch.files import digest_file
from fdsearch.models.weights import fetch

REPOSITORY = Path(__file__).resolve().parents[1]
SUMS = "SHA256SUMS"
MOST_ROUNDS = 8
"""How often requirements that only the target's Python has are downloaded; each round may show further ones."""


def main() -> int:
    """Pack a wheelhouse; the last line on stdout is its summary as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what to write; a wheelhouse that lies there is replaced")
    parser.add_argument("--extra", default="train,export,serve,sign", help="extras of fdsearch, separated by commas")
    parser.add_argument("--python", default=Target.python, help="version on the other box, such as 3.12")
    parser.add_argument("--weights", nargs="*", default=["efficientnet_lite0"], help="backbones whose weights go along")
    arguments = parser.parse_args()
    try:
        summary = pack(arguments.folder.absolute(), arguments.extra, arguments.python, arguments.weights)
    except FdsearchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(summary))
    return 0


def pack(folder: Path, extra: str, python: str, weights: Sequence[str]) -> dict[str, object]:
    """Write a wheelhouse, whole or not at all.

    Raises
    ------
    ConfigError
        If the extra, the Python version or a name of weights makes no sense.
    ConflictError
        If the folder holds something else than a wheelhouse.
    ResourceError
        If a wheel or weights cannot be had.
    """
    try:
        target, root = Target(python), Requirement(f"fdsearch[{extra}]")
    except (ValueError, InvalidRequirement) as error:
        raise ConfigError(str(error)) from error
    if folder.exists() and not (folder / SUMS).is_file():
        fault = Fault(str(folder), "a folder with other things", "a new folder, or an older wheelhouse", "name another")
        raise ConflictError("the wheelhouse would replace something else", [fault])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        arriving = Path(name) / "wheelhouse"
        (arriving / "weights").mkdir(parents=True)
        files = [fetch(backbone, arriving / "weights").name for backbone in weights]
        needed = collect(arriving / "wheels", root, target)
        write_lists(arriving, needed, target, {"extra": extra, "weights": " ".join(files)})
        if folder.exists():
            shutil.rmtree(folder)
        arriving.rename(folder)
    packed = [path for path in folder.rglob("*") if path.is_file()]
    return {
        "wheelhouse": str(folder),
        "fdsearch": next(str(wheel.version) for wheel in needed if wheel.name == "fdsearch"),
        **target.describe(),
        "extra": extra,
        "wheels": len(needed),
        "weights": files,
        "megabytes": round(sum(path.stat().st_size for path in packed) / 1e6, 1),
        "sha256_of_the_list": digest_file(folder / SUMS),
    }


def collect(wheels: Path, root: Requirement, target: Target) -> list[Wheel]:
    """Fill a folder with the wheels that an installation on the target needs, and no other.

    Raises
    ------
    ConfigError
        If fdsearch has no such extra.
    ResourceError
        If a wheel cannot be had.
    """
    wheels.mkdir()
    _say(f"building fdsearch, then collecting {root} for Python {target.python}, {target.machine}")
    _pip("wheel", "--no-deps", f"--wheel-dir={wheels}", str(REPOSITORY))
    (own,) = _read(wheels)
    unknown = root.extras - own.extras
    if unknown:
        fault = Fault("EXTRA", ", ".join(sorted(unknown)), f"some of {', '.join(sorted(own.extras))}", "")
        raise ConfigError("fdsearch has no such extra", [fault])
    # The extras in the file's own words: a name alone could bring another fdsearch from an index.
    roots = [Requirement(f"{root}=={own.version}"), Requirement("pip")]
    missing: Iterable[str] = [f"fdsearch{_extras(root)} @ {own.path.as_uri()}", "pip"]
    for _ in range(MOST_ROUNDS):
        _download(wheels, missing, target)
        found = close(_read(wheels), roots, target.markers())
        if not found.missing:
            return _prune(wheels, found)
        missing = found.missing
    faults = [Fault(need, "no wheel", "a wheel", f"{by} asks for it") for need, by in found.missing.items()]
    raise ResourceError("the wheels are not complete", faults)


def _download(wheels: Path, needs: Iterable[str], target: Target) -> None:
    """Add wheels for some requirements, in the versions of those that are there."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        lines = [f"{wheel.name}=={wheel.version}\n" for wheel in _read(wheels) if wheel.name != "fdsearch"]
        constraints.writelines(lines)
        constraints.flush()
        _pip("download", f"--dest={wheels}", f"--constraint={constraints.name}", *target.pip_options(), *needs)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments[:1], "--quiet", *arguments[1:]]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        fix = "see what pip says above; it needs a package index, and a wheel of each package for the other box"
        raise ResourceError("pip failed", [Fault(f"pip {arguments[0]}", f"exit {done.returncode}", "exit 0", fix)])


def _read(wheels: Path) -> list[Wheel]:
    return [Wheel.read(path) for path in sorted(wheels.glob("*.whl"))]


def _extras(root: Requirement) -> str:
    return f"[{','.join(sorted(root.extras))}]" if root.extras else ""


def _prune(wheels: Path, found: Closure) -> list[Wheel]:
    """Remove what only the Python that ran pip would have needed."""
    needed = sorted(found.needed.values(), key=lambda wheel: wheel.name)
    for path in set(wheels.iterdir()) - {wheel.path for wheel in needed}:
        path.unlink()
    return needed


def write_lists(folder: Path, needed: Sequence[Wheel], target: Target, more: dict[str, str]) -> None:
    """Add what `install.sh` reads, itself, and the SHA-256 list of everything in the folder.

    Parameters
    ----------
    folder : Path
        Holds ``wheels`` and ``weights``.
    needed : sequence of Wheel
        fdsearch and pip among them.
    more : dict
        Further lines of ``target.txt``: ``weights``, the file names separated by spaces.
    """
    hashes = [f"{wheel.name}=={wheel.version} --hash=sha256:{digest_file(wheel.path)}\n" for wheel in needed]
    (folder / "requirements.txt").write_text("".join(hashes))
    by_name = {str(wheel.name): wheel for wheel in needed}
    lines = {
        **target.describe(),
        "version": str(by_name["fdsearch"].version),
        "pip": f"wheels/{by_name['pip'].path.name}",
        **more,
    }
    (folder / "target.txt").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    shutil.copyfile(REPOSITORY / "packaging" / "install.sh", folder / "install.sh")
    shutil.copyfile(REPOSITORY / "docs" / "air-gap.md", folder / "air-gap.md")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:  # whoever installs need not be who packed
        path.chmod(0o644)
    sums = [f"{digest_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    (folder / SUMS).write_text("".join(sums))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
