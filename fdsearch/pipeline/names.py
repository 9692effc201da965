"""Names of runs, without reading a study: `status` must answer at once."""

from __future__ import annotations

from pathlib import Path

from fdsearch.errors import ConfigError, Fault, did_you_mean
from fdsearch.workspace import Workspace


def run_name(ref: str, root: Path) -> str:
    """The name of a run that exists under `root`, from its name or its study file.

    Raises
    ------
    ConfigError
        If the study was never run there.
    """
    name = ref
    if ref.endswith((".yaml", ".yml")):
        from fdsearch.pipeline.studies import resolve_study

        name = resolve_study(ref, root).name
    workspace = Workspace(root)
    if "/" in name or not workspace.run(name).is_dir():
        known = [path.name for path in workspace.runs.glob("*/")] if workspace.runs.is_dir() else []
        fault = Fault(
            str(workspace.runs / name), "nothing", "a run", did_you_mean(name, known) if known else "run it first"
        )
        raise ConfigError(f"{name} has not been run under this root", [fault])
    return name
