"""Commands that work on a study: run, search, select, train, and what they leave (status, stop, logs, report)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fdsearch import pipeline
from fdsearch.cli import show, show_status, show_trust
from fdsearch.cli.arguments import OptionalStudy, Plugins, Study, assignments, means_of, plugin_files, resolve
from fdsearch.cli.command import Call, Document, command
from fdsearch.errors import ConfigError, Fault

Fresh = Annotated[bool, typer.Option("--fresh", help="Move a run of this name aside and start anew.")]
Promote = Annotated[bool, typer.Option("--promote", help="Let a candidate whose gates hold become champion.")]


Workers = Annotated[int, typer.Option("--workers", min=1, max=256, help="Fits that run at the same time.")]
Gpus = Annotated[
    str | None,
    typer.Option("--gpus", metavar="0,1", help="GPUs to use; default all that are visible.", show_default=False),
]
ExecutorName = Annotated[
    Literal["local", "ray"], typer.Option("--executor", help="Worker processes here, or actors of a Ray cluster.")
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="FDSEARCH_STORAGE",
        metavar="URL",
        help="PostgreSQL database that several machines share: postgresql+psycopg://USER@HOST/NAME.",
        show_default=False,
    ),
]
Upgrade = Annotated[bool, typer.Option("--upgrade-storage", help="Upgrade a study database of Optuna 4.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    command(app, "run", example="fdsearch run studies/magnetic_tile.yaml", show=show_trust.run)(run)
    command(app, "search", example="fdsearch search magnetic_tile --json", show=show.search)(search)
    command(app, "select", example="fdsearch select magnetic_tile", show=show_trust.run)(select)
    command(app, "train", example="fdsearch train demo --set phases=head_tail --set epochs=8", show=show.train)(train)
    command(app, "status", example="fdsearch status --watch", show=show_status.status)(status)
    command(app, "stop", example="fdsearch stop magnetic_tile", show=show_status.status)(stop)
    command(app, "logs", example="fdsearch logs magnetic_tile --follow", show=show.logs)(logs)
    command(app, "space", example="fdsearch space demo --sample 5", show=show.configs)(space)
    command(app, "dashboard", example="fdsearch dashboard magnetic_tile", show=show.facts)(dashboard)
    command(app, "report", example="fdsearch report magnetic_tile", show=show.facts)(report)


def run(
    call: Call,
    study: Study,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; train nothing.")] = False,
    fresh: Fresh = False,
    promote: Promote = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on in the background; `fdsearch status` follows it.")
    ] = False,
    workers: Workers = 1,
    gpus: Gpus = None,
    executor: ExecutorName = "local",
    storage: Storage = None,
    upgrade_storage: Upgrade = False,
    plugin: Plugins = None,
) -> Document:
    """Search, compare, refit, open the holdout and register: the main job. Continues where it stopped."""
    from fdsearch.pipeline.notification import check_command

    if dry_run and detach:
        raise ConfigError(
            "two ways to run", [Fault("fdsearch run", "--dry-run and --detach", "one of them", "drop one")]
        )
    plugins = plugin_files(plugin)
    spec = resolve(study, call.root)
    check_command(spec.notify)  # here too: a plan should name it, and a detached run would tell nobody
    if dry_run:
        return pipeline.plan(spec, call.root, plugins)
    if detach:
        from fdsearch.cli.detach import start

        flags = [name for name, given in (("--fresh", fresh), ("--promote", promote)) if given]
        flags += [f"--workers={workers}", f"--executor={executor}", *([f"--gpus={gpus}"] if gpus is not None else [])]
        flags += ["--upgrade-storage"] if upgrade_storage else []
        environment = {"FDSEARCH_STORAGE": storage} if storage else {}  # not an argument: it may hold a password
        return start(study, spec.name, call.root, [*flags, *(f"--plugin={file}" for file in plugins)], environment)
    means = means_of(workers, gpus, executor, storage, upgrade_storage)
    return pipeline.run(
        spec, call.root, fresh=fresh, promote=promote, plugins=plugins, means=means, progress=call.progress
    )


def search(
    call: Call,
    study: Study,
    fresh: Fresh = False,
    workers: Workers = 1,
    gpus: Gpus = None,
    executor: ExecutorName = "local",
    storage: Storage = None,
    upgrade_storage: Upgrade = False,
    plugin: Plugins = None,
) -> Document:
    """Search alone: trials until their number or the budget is reached."""
    means = means_of(workers, gpus, executor, storage, upgrade_storage)
    plugins = plugin_files(plugin)
    spec = resolve(study, call.root)
    return pipeline.search(spec, call.root, fresh=fresh, plugins=plugins, means=means, progress=call.progress)


def select(
    call: Call,
    study: Study,
    promote: Promote = False,
    workers: Workers = 1,
    gpus: Gpus = None,
    executor: ExecutorName = "local",
    storage: Storage = None,
    upgrade_storage: Upgrade = False,
    plugin: Plugins = None,
) -> Document:
    """The rest of `run` after a search: repeats, comparison, refit, holdout, registration."""
    means = means_of(workers, gpus, executor, storage, upgrade_storage)
    plugins = plugin_files(plugin)
    spec = resolve(study, call.root)
    return pipeline.select(spec, call.root, promote=promote, plugins=plugins, means=means, progress=call.progress)


def train(
    call: Call,
    study: Study,
    trial: Annotated[
        int | None, typer.Option("--trial", min=0, help="Start from this trial of the search.", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one parameter. Repeatable.", show_default=False),
    ] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Train in this process, for a debugger.")] = False,
    plugin: Plugins = None,
) -> Document:
    """Train one configuration on the study's folds."""
    values: dict[str, Any] = assignments(overrides)
    return pipeline.train(
        resolve(study, call.root),
        call.root,
        trial=trial,
        overrides=values,
        in_process=in_process,
        plugins=plugin_files(plugin),
        progress=call.progress,
    )


def status(
    call: Call,
    study: OptionalStudy = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every 2 seconds until nothing runs; Ctrl-C ends the view.")
    ] = False,
) -> Document | None:
    """Progress, workers and their trials, time left, failures."""
    if not watch:
        return pipeline.status(call.root, study)
    _for_people(call, "--watch")
    show_status.watch(lambda: pipeline.status(call.root, study), call.out)
    return None


def stop(call: Call, study: OptionalStudy = None) -> Document:
    """Ask a running study to save its state and end."""
    return pipeline.stop(call.root, study)


def logs(
    call: Call,
    study: OptionalStudy = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines until the run has ended; Ctrl-C ends the view.")
    ] = False,
) -> Document | None:
    """Print the log of a study."""
    names = [study] if study else [entry["study"] for entry in pipeline.status(call.root)["studies"]]
    if not follow:
        return {"studies": [_log(name, pipeline.logs(call.root, name)) for name in names]}
    _for_people(call, "--follow")
    from fdsearch.cli.follow import follow as go_on

    def running() -> bool:
        return any(entry["state"] == "running" for entry in pipeline.status(call.root, study)["studies"])

    go_on({name: pipeline.logs(call.root, name) for name in names}, running, call.out)
    return None


def _for_people(call: Call, option: str) -> None:
    """Refuse ``--json``, which is one document, beside what never ends."""
    if call.as_json:
        fault = Fault(
            f"{option} --json", "one document that never ends", "one of the two", "ask again with --json alone"
        )
        raise ConfigError(f"{option} is for people, not for programs", [fault])


def _log(name: str, path: Path) -> dict[str, Any]:
    text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
    return {"study": name, "log": str(path), "lines": text.splitlines()}


def space(
    call: Call,
    study: Study,
    sample: Annotated[int, typer.Option("--sample", min=1, max=10_000, help="How many configurations.")] = 5,
) -> Document:
    """Draw example configurations from a study's search space, resolved as they would be trained."""
    return pipeline.space_samples(resolve(study, call.root), sample, call.root, call.progress)


def dashboard(
    call: Call,
    study: Study,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 8080,
) -> None:
    """Show the search in optuna-dashboard, on this machine only, until interrupted."""
    pipeline.load_study(study, call.root)  # a wrong name is an answer, not a page of errors in a browser
    free = pipeline.free_port(port)
    call.emit(pipeline.dashboard_address(free))
    pipeline.dashboard(study, call.root, free, call.progress)


def report(call: Call, study: Study) -> Document:
    """Write one self-contained HTML page about a run."""
    return {"report": str(pipeline.write_report(study, call.root))}
