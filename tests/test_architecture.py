"""The architecture, enforced from the syntax trees: who may import whom, when, and what no module may hold.

docs/architecture.md explains the table; where the two differ, this file is what counts.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fdsearch"
MODULES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in MODULES]
MAX_LINES = 300

GROUND = {"errors", "files", "workspace", "progress", "shipped", "quiet", "packages", "spelling"}
STUDY = {"space", "space_reader", "parameters", "trial", "records", "yaml_reader", "unseen", "config", "study_reader"}
NUMBERS = {"metrics", "resizing", "imaging", "layers", "decide", "chance", "novelty"}
BASE = GROUND | STUDY | NUMBERS
DEPLOYED = {*GROUND, "config", "trial", *NUMBERS}
TRAINING = {*BASE, "data", "models", "training", "execution"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "workspace": set(),
    "progress": set(),
    "shipped": set(),
    "quiet": set(),
    "packages": set(),
    "spelling": set(),
    "files": {"errors"},
    "space": GROUND,
    "yaml_reader": GROUND,
    "space_reader": {*GROUND, "space"},
    "parameters": {*GROUND, "space"},
    "trial": {*GROUND, "space", "parameters"},
    "records": {*GROUND, "space", "trial"},
    "unseen": GROUND,
    "config": {*GROUND, "space", "unseen"},
    "study_reader": {*GROUND, *STUDY},
    "metrics": {"errors"},
    "resizing": {"errors"},
    "imaging": {"errors", "resizing"},
    "layers": {"errors"},
    "decide": {"errors", "metrics"},
    "chance": {"errors", "metrics"},
    "novelty": {"errors", "metrics"},
    "data": BASE,
    "models": BASE,
    "training": {*BASE, "data", "models"},
    "execution": {*BASE, "data", "models", "training"},
    "search": TRAINING,
    "selection": TRAINING,
    "registry": DEPLOYED,
    "serving": {*DEPLOYED, "registry"},
    "report": {"errors"},
    "pipeline": {*TRAINING, "search", "selection", "registry", "serving", "report"},
    "doctor": {*BASE, "models", "execution"},
    "cli": {*BASE, "data", "models", "execution", "registry", "serving", "report", "pipeline", "doctor"},
    "__main__": {"errors", "cli"},
}
"""Each module or subpackage of fdsearch with those it may import, anywhere in its code."""

HEAVY = {
    *("tensorflow", "keras", "optuna", "optuna_dashboard", "sqlalchemy", "pandas", "sklearn", "scipy", "joblib"),
    *("matplotlib", "jinja2", "pooch", "psutil", "ray", "cv2"),
    *("onnx", "onnxruntime", "tf2onnx", "ai_edge_litert", "fastapi", "uvicorn", "starlette", "prometheus_client"),
    "cryptography",
}
"""Slow to import, or not in the core install: imported inside functions only."""

POSIX_MODULES = {"fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = {
    "os": {
        *("O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "chown", "fchmod", "fchown", "fork", "getegid", "geteuid"),
        *(
            "getgid",
            "getloadavg",
            "getpgid",
            "getuid",
            "killpg",
            "lchown",
            "mkfifo",
            "mknod",
            "nice",
            "pread",
            "pwrite",
        ),
        *("register_at_fork", "sched_getaffinity", "setsid", "statvfs", "sysconf", "uname", "wait", "wait4", "waitpid"),
    },
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "alarm", "pause", "pthread_sigmask"},
    "socket": {"AF_UNIX", "SO_REUSEPORT", "send_fds", "recv_fds"},
}
POSIX_METHODS = {"add_signal_handler"}
PORTABLE_TESTS = ("os.name", "sys.platform", "platform.system", "hasattr")
WRITING_HALF = {"registry/disk.py", "registry/draft.py"}
"""Locks and publishes versions, where models are trained: Linux and WSL2. Reading them works on Windows too."""


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def unit(path: Path) -> str:
    """The module or subpackage a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(node: ast.AST) -> list[str]:
    """The dotted names that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: not function bodies, not what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from run_at_import(child)


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_imports_go_one_way(path: Path) -> None:
    name = unit(path)
    if name == "__init__":  # the package itself hands out the public names of all layers
        return
    assert name in MAY_IMPORT, (
        f"{name} has no place in the layers: give it one in MAY_IMPORT and in docs/architecture.md"
    )
    allowed = MAY_IMPORT[name] | {name}
    for node in ast.walk(parse(path)):
        for target in imported(node):
            package, _, rest = target.partition(".")
            assert package != "fdsearch" or not rest or rest.split(".")[0] in allowed, (
                f"line {getattr(node, 'lineno', 0)}: {name} may not import {target}"
            )


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_no_relative_imports(path: Path) -> None:
    assert not [node for node in ast.walk(parse(path)) if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_heavy_imports_are_inside_functions(path: Path) -> None:
    for node in run_at_import(parse(path)):
        for target in imported(node):
            assert target.split(".")[0] not in HEAVY, (
                f"line {getattr(node, 'lineno', 0)}: import {target} inside the function that needs it"
            )


def test_importing_every_module_loads_nothing_heavy() -> None:
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in MODULES]
    names = [name.removesuffix(".__init__") for name in names]
    code = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert HEAVY.isdisjoint(answer.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_every_module_says_its_role(path: Path) -> None:
    tree = parse(path)
    # An empty __init__ has nothing to say.
    assert not tree.body or ast.get_docstring(tree), "begin the module with its role and its neighbours"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_no_module_is_too_long(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MAX_LINES, f"{lines} lines: split it where its reasons to change part"


def test_no_module_without_a_subject() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert not [name for name, path in zip(IDS, MODULES, strict=True) if path.stem in drawers]


def test_no_base_class_with_one_child() -> None:
    classes = [(path, node) for path in MODULES for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef)]
    names = {node.name for _, node in classes}
    bases = [ast.unparse(base).split("[")[0].split(".")[-1] for _, node in classes for base in node.bases]
    lonely = {name for name, children in Counter(bases).items() if children == 1 and name in names}
    assert not lonely, "fold the base into its only child"


def is_guarded(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether a node stands in a branch, or after an early return, that asks for the platform."""
    child, parent = node, parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.If | ast.IfExp | ast.BoolOp) and asks_for_platform(parent):
            return True
        body = getattr(parent, "body", None)
        if isinstance(body, list) and child in body:
            before = body[: body.index(child)]
            if any(isinstance(each, ast.If) and asks_for_platform(each) and leaves(each) for each in before):
                return True
        child, parent = parent, parents.get(parent)
    return False


def asks_for_platform(node: ast.If | ast.IfExp | ast.BoolOp) -> bool:
    test = node if isinstance(node, ast.BoolOp) else node.test
    return any(word in ast.unparse(test) for word in PORTABLE_TESTS)


def leaves(branch: ast.If) -> bool:
    return isinstance(branch.body[-1], ast.Return | ast.Raise | ast.Continue)


def posix_only(tree: ast.Module) -> list[str]:
    """What a module uses that Windows lacks, without a branch for it."""
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    found = []
    for node in ast.walk(tree):
        names = {target.split(".")[0] for target in imported(node)} & POSIX_MODULES
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names |= {node.attr} & POSIX_NAMES.get(node.value.id, set())
        if isinstance(node, ast.Attribute):
            names |= {node.attr} & POSIX_METHODS
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names} & POSIX_NAMES.get(node.module or "", set())
        if isinstance(node, ast.keyword) and node.arg == "dir_fd":
            names |= {"dir_fd"}
        found += [name for name in names if not is_guarded(node, parents)]
    return found


READING_TABLES = {"data/corrections.py", "data/guess.py", "data/tables.py"}
"""What `fdsearch predict` reads a CSV with."""


def is_portable(path: Path) -> bool:
    name = path.relative_to(PACKAGE).as_posix()
    deployed = {*DEPLOYED, "registry", "serving", "cli", "__main__"}
    return (unit(path) in deployed and name not in WRITING_HALF) or name in READING_TABLES


PORTABLE = [path for path in MODULES if is_portable(path)]


@pytest.mark.parametrize("path", PORTABLE, ids=[str(path.relative_to(PACKAGE)) for path in PORTABLE])
def test_what_is_deployed_runs_on_windows_too(path: Path) -> None:
    assert not posix_only(parse(path)), "give it a portable branch (os.name, hasattr, getattr with a default)"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import fcntl", ["fcntl"]),
        ("import os\nos.open('x', os.O_NOFOLLOW)", ["O_NOFOLLOW"]),
        ("import os\nos.open('x', getattr(os, 'O_NOFOLLOW', 0))", []),
        ("import os\nif os.name != 'nt':\n    os.fork()", []),
        ("import os\ndef f():\n    if os.name == 'nt':\n        return\n    os.fork()", []),
        ("import os\ndef f():\n    if 1:\n        return\n    os.fork()", ["fork"]),
        ("import os\nx = os.getuid() if hasattr(os, 'getuid') else 0", []),
        ("from os import fork", ["fork"]),
        ("import os\nos.open('x', 0, dir_fd=3)", ["dir_fd"]),
        ("import asyncio\nasyncio.get_running_loop().add_signal_handler(2, print)", ["add_signal_handler"]),
    ],
)
def test_the_search_for_posix_calls_finds_them(code: str, expected: list[str]) -> None:
    assert posix_only(ast.parse(code)) == expected
