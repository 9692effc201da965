"""From what a person typed to a study: a YAML file, a run under the root, or a shipped study."""

from __future__ import annotations

from pathlib import Path

from fdsearch.config import StudySpec
from fdsearch.errors import ConfigError, Fault, did_you_mean
from fdsearch.shipped import shipped
from fdsearch.study_reader import load_study
from fdsearch.workspace import Workspace


def resolve_study(ref: str, root: Path, data_root: Path | None = None) -> StudySpec:
    """Find and read a study.

    Parameters
    ----------
    ref : str
        A YAML file, the name of a run under `root`, or the name of a shipped study.
    root : Path
    data_root : Path, optional
        Second place for the study's relative paths; default where `demo` generates its pictures.

    Raises
    ------
    ConfigError
        If nothing of that name exists, or the study has faults.
    """
    data_root = data_root or Workspace(root.resolve()).generated
    path = Path(ref)
    if ref.endswith((".yaml", ".yml")) or (path.is_file() and path.suffix != ".csv"):
        return load_study(path, data_root=data_root)
    runs, ours = Workspace(root).runs, shipped("studies")
    for candidate in (runs / ref / "study.yaml", ours / f"{ref}.yaml"):
        if candidate.is_file():
            return load_study(candidate, data_root=data_root)
    if ref and path.exists():
        fault = Fault(ref, "a folder or table", "a study", f"`fdsearch init {ref}` writes a study of its pictures")
        raise ConfigError("this is no study", [fault])
    known = [path.parent.name for path in runs.glob("*/study.yaml")] + [path.stem for path in ours.glob("*.yaml")]
    fault = Fault(
        ref, "no such study", "a YAML file, a run under the root, or a shipped study", did_you_mean(ref, known)
    )
    raise ConfigError("the study cannot be found", [fault])
