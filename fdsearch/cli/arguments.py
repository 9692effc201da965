"""The arguments that several commands share, and how their text becomes values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fdsearch import pipeline
from fdsearch.errors import ConfigError, Fault

if TYPE_CHECKING:
    from fdsearch.config import StudySpec
    from fdsearch.pipeline.means import Means

Study = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, the name of a run under the root, or a shipped study.")
]
OptionalStudy = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="One study; default all under the root.", show_default=False)
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file with builders or losses; it is run. Repeatable.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="NAME (its champion), NAME@challenger, NAME:VERSION, or a bundle's folder."),
]
Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGES...", help="Pictures, folders of pictures, or one CSV that names pictures beside it."
    ),
]


def resolve(reference: str, root: Path) -> StudySpec:
    """Read the study that a command names."""
    spec: StudySpec = pipeline.resolve_study(reference, root)
    return spec


def means_of(workers: int, gpus: str | None, executor: str, storage: str | None, upgrade_storage: bool) -> Means:
    """The machine and the database that a command's options name."""
    from fdsearch.execution.machine import Machine
    from fdsearch.pipeline.means import Means

    names = None if gpus is None else tuple(name.strip() for name in gpus.split(",") if name.strip())
    return Means(Machine(workers, names, executor), storage, upgrade_storage)


def plugin_files(plugins: Sequence[Path] | None) -> tuple[Path, ...]:
    """The plugins as absolute paths.

    Raises
    ------
    ConfigError
        With every one that is not a file.
    """
    files = tuple(plugin.absolute() for plugin in plugins or ())
    faults = [
        Fault(str(file), "no such file", "a Python file", "check --plugin") for file in files if not file.is_file()
    ]
    if faults:
        raise ConfigError("a plugin cannot be read", faults)
    return files


def assignments(texts: Sequence[str] | None) -> dict[str, Any]:
    """Read ``key=value`` pairs; values are written as in YAML.

    Raises
    ------
    ConfigError
        With every text that is no assignment, and every key given twice.

    Examples
    --------
    >>> assignments(["epochs=8", "phases=head_tail", "learning_rate=1e-3"])
    {'epochs': 8, 'phases': 'head_tail', 'learning_rate': 0.001}
    """
    from fdsearch.yaml_reader import parse_yaml

    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key or key in values:
            got = f"{key} again" if key in values else repr(text)
            faults.append(Fault("--set", got, "key=value, each key once", "write --set learning_rate=1e-3"))
            continue
        try:
            values[key] = parse_yaml(value.encode(), f"--set {key}")
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError("--set cannot be read", faults)
    return values
