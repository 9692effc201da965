"""`run --detach`: the same command in a process of its own session, which outlives the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fdsearch.cli.command import Document


def start(reference: str, name: str, root: Path, options: Sequence[str], environment: Mapping[str, str]) -> Document:
    """Start ``fdsearch run`` in the background.

    Parameters
    ----------
    reference : str
        The study as the user named it.
    name : str
        The study's name, for the file that takes the output.
    root : Path
    options : sequence of str
        Further options of `run`.
    environment : mapping
        Variables for it beside our own.

    Returns
    -------
    dict
        ``study``, ``pid``, ``output`` (path of the file that takes stdout and stderr).
    """
    output = root / "detached" / f"{name}.txt"
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fdsearch", "run", *options, f"--root={root}", "--", reference]
    with output.open("ab") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    process.returncode = 0  # nobody waits for it; without a code Python would warn that it still runs
    return {"study": name, "pid": process.pid, "output": str(output)}
