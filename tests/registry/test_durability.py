"""What survives the loss of power, told from the system calls: bytes are synced before the rename that shows them, and
the folder of that rename before anything that builds on it.

A killed process loses nothing that the kernel has, so killing cannot tell; strace can.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fdsearch.registry.draft import Draft

SCRIPT = Path(__file__).with_name("durable.py")
WRITES = ("write", "pwrite64", "writev", "sendfile", "copy_file_range", "ftruncate")
CALLS = ",".join(WRITES) + ",fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,openat"
CALLS += ",stat,newfstatat,statx,access,faccessat,faccessat2"
CHANGES = ("register", "promote", "rollback", "gc", "export", "import")
_CALL = re.compile(r"^(?:\d+\s+)?(\w+)\((.*)\)\s+= (-?\d+)")
_HANDLE = re.compile(r"^\d+<([^>]*)>")
_NAME = re.compile(r'(?:AT_FDCWD<[^>]*>|\d+<([^>]*)>)?(?:, )?"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Step:
    """One system call on the files of the test: ``write``, ``sync``, ``rename``, ``make``, ``remove`` or ``begin``."""

    kind: str
    path: str
    target: str = ""


def steps(trace: str, root: str) -> Iterator[Step]:
    """The calls that succeeded and changed something below `root`, in order."""
    for line in trace.splitlines():
        match = _CALL.match(line)
        if match is None:
            continue
        call, arguments, result = match[1], match[2], int(match[3])
        names = [str(Path(folder or root, name)) for folder, name in _NAME.findall(arguments)]
        if names and "/begin-" in names[0]:
            yield Step("begin", names[0].partition("/begin-")[2])
        elif result < 0:
            continue
        elif call in ("fsync", "fdatasync") and (handle := _HANDLE.match(arguments)):
            yield Step("sync", handle[1])
        elif call.startswith("rename"):
            yield Step("rename", *names)
        elif call.startswith("mkdir"):
            yield Step("make", names[0])
        elif call.startswith(("unlink", "rmdir")):
            yield Step("remove", names[0])
        elif call == "openat" and "O_CREAT" in arguments:
            yield Step("write", names[0])
        elif call in WRITES and (handle := _HANDLE.match(arguments)):
            yield Step("write", handle[1])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Step]]:
    """The steps of each change."""
    from registry.conftest import write_draft

    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: `make system` installs it")
    root = tmp_path_factory.mktemp("durable").resolve()
    draft: Draft = write_draft(root / "draft")
    command = [strace, "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={CALLS}", "-o", root / "trace"]
    done = subprocess.run(
        [*command, sys.executable, SCRIPT, root, draft.folder], capture_output=True, text=True, timeout=280
    )
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    found: dict[str, list[Step]] = {}
    change = ""
    for step in steps((root / "trace").read_text(errors="replace"), str(root)):
        if step.kind == "begin":
            change = step.path
            found[change] = []
        elif change and step.path.startswith(str(root)) and not step.path.endswith(".lock"):
            found[change].append(step)
    return found


def last(sequence: list[Step], holds: Callable[[Step], bool]) -> int:
    """Place of the last step for which something holds, -1 where there is none."""
    return max((place for place, step in enumerate(sequence) if holds(step)), default=-1)


def unsynced(before: list[Step], source: str) -> Iterator[str]:
    """What a rename would show that is not durable: a file with later bytes, a folder with later names."""
    shown = {step.path for step in before if step.kind == "write" and f"{step.path}/".startswith(f"{source}/")}
    shown |= {step.target for step in before if step.kind == "rename" and f"{step.target}/".startswith(f"{source}/")}
    moved = {step.target: step.path for step in before if step.kind == "rename"}
    gone = {step.path for step in before if step.kind == "rename"}
    for path in shown - gone:
        names = {path, moved.get(path, path)}
        written = last(before, lambda step, names=names: step.kind == "write" and step.path in names)
        synced = last(before, lambda step, names=names: step.kind == "sync" and step.path in names)
        if synced < written:
            yield path
        folder = str(Path(path).parent)
        if path != source:
            named = last(before, lambda step, path=path: path in (step.path, step.target) and step.kind != "sync")
            if last(before, lambda step, folder=folder: step.kind == "sync" and step.path == folder) < named:
                yield folder


@pytest.mark.parametrize("change", CHANGES)
def test_bytes_are_durable_before_a_rename_shows_them(recorded: dict[str, list[Step]], change: str) -> None:
    sequence = recorded[change]
    renames = [(place, step) for place, step in enumerate(sequence) if step.kind == "rename"]
    assert renames
    for place, step in renames:
        written = [each for each in sequence[:place] if each.kind == "write" and each.path.startswith(step.path)]
        assert written, f"nothing was written that {step} could show"
        assert list(unsynced(sequence[:place], step.path)) == [], step


@pytest.mark.parametrize("change", CHANGES)
def test_a_rename_is_durable_before_anything_builds_on_it(recorded: dict[str, list[Step]], change: str) -> None:
    sequence = recorded[change]
    for place, step in enumerate(sequence):
        if step.kind == "rename":
            folder = str(Path(step.target).parent)
            after = sequence[place + 1 :]
            synced = next((number for number, each in enumerate(after) if each == Step("sync", folder)), None)
            assert synced is not None, f"{folder} was not synced after {step}"
            assert after[:synced] == [], f"{after[0]} came before {folder} was synced"


def place_of(sequence: list[Step], kind: str, ending: str) -> int:
    return next(
        place
        for place, step in enumerate(sequence)
        if step.kind == kind and (step.target or step.path).endswith(ending)
    )


@pytest.mark.parametrize(("change", "number"), [("register", "0001"), ("import", "0001")])
def test_a_version_is_whole_before_its_event(recorded: dict[str, list[Step]], change: str, number: str) -> None:
    sequence = recorded[change]
    shown = place_of(sequence, "rename", f"versions/{number}")
    event = place_of(sequence, "rename", "events.jsonl")
    heads = [place for place, step in enumerate(sequence) if step.kind == "rename" and step.target.endswith(".head")]
    assert heads[0] < shown < event < heads[1], "a log is begun before there is anything that its loss could hide"


def test_a_version_is_out_of_the_log_before_it_is_touched(recorded: dict[str, list[Step]]) -> None:
    sequence = recorded["gc"]
    touched = next(place for place, step in enumerate(sequence) if step.kind == "remove" and "/versions/" in step.path)
    assert place_of(sequence, "rename", "events.jsonl") < place_of(sequence, "rename", "events.head") < touched
