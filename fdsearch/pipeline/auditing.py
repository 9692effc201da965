"""The audit of a data set, by itself or at the beginning of a run: duplicates, leaks, shortcuts, labels, support.

Labels are held against pictures in the development rows only. Out-of-fold probabilities come from the frozen probe on
the study's folds: the same fits that every search begins with, whose features stay in the prefix cache. `data.audit`
judges, `audit_files` writes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdsearch.config import DataSpec, GroupSpec, SplitSpec, StudySpec
from fdsearch.data.audit import AUDIT_VERSION
from fdsearch.data.audit import audit as audit_data
from fdsearch.data.corrections import corrections_in_force
from fdsearch.data.dataset import Dataset
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.data.partition import assign
from fdsearch.data.parts.finding import GROUPER_VERSION
from fdsearch.data.roles import DEVELOPMENT, HOLDOUT
from fdsearch.data.support import Wanted
from fdsearch.data.survey import Survey, survey
from fdsearch.errors import ConfigError, DataError, Fault, ResourceError
from fdsearch.execution.events import Executor
from fdsearch.execution.supervisor import Supervisor
from fdsearch.files import digest_file, digest_json, disk_errors
from fdsearch.pipeline.audit_evidence import (
    Look,
    Opened,
    ShouldStop,
    Subject,
    faulty_evidence,
    tell_parts,
    whole_evidence,
)
from fdsearch.pipeline.audit_files import stored_audit, write_audit
from fdsearch.pipeline.question import Question, baseline_config
from fdsearch.pipeline.resolving import resolve_space
from fdsearch.pipeline.studies import resolve_study
from fdsearch.progress import Progress, Silent
from fdsearch.report import audit_words
from fdsearch.selection.intervals import APPROXIMATE_FROM, EXACT_FROM
from fdsearch.selection.scores import HEADLINE_FROM
from fdsearch.space import SearchSpace
from fdsearch.training.job import JobMaker
from fdsearch.workspace import Workspace

if TYPE_CHECKING:
    from fdsearch.data.inspect import Inspection

WANTED = (
    Wanted(DEVELOPMENT, APPROXIMATE_FROM, "an interval of the score"),
    Wanted(DEVELOPMENT, EXACT_FROM, "an interval that may be called 95 %"),
    Wanted(HOLDOUT, HEADLINE_FROM, "a headline from the holdout"),
)
"""Groups that every class needs; `selection` says for what."""

COUNTED = ("problems", "duplicate_groups", "conflicts", "leaks", "shortcuts", "label_suspects", "missing_parts")
"""Lists of an audit's document that a run's document has the lengths of."""


def audit(target: str, root: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Audit the data of a study, or of a bare manifest or folder.

    A bare manifest has no sealed parts; roles are dealt for it as a study that says nothing would deal them, and
    forgotten again.

    Returns
    -------
    dict
        As `data.audit` documents it, and ``groups_csv, worklist, html, json, seconds``. Of unchanged data: what was
        found before.

    Raises
    ------
    ConfigError, StorageError, ResourceError
        If there is no such study, it contradicts itself, or a folder cannot be written. Never for bad data.
    DataError
        If a table or folder without a study names no pictures or no labels.
    """
    started, progress = time.monotonic(), progress or Silent()
    subject, space = _subject(target, root)
    found, look = _survey(subject, progress)
    opened: Opened | None = None
    faults: tuple[Fault, ...] = ()
    if not found.faults:
        try:
            opened = _open(subject, space, progress)
        except DataError as error:
            faults = error.faults
    with disk_errors(subject.folder, "the audit"):
        subject.folder.mkdir(parents=True, exist_ok=True)
    with Supervisor(log=subject.folder / "workers.txt") as executor:
        document = _audited(subject, found, look, opened, faults, executor, progress, None)
    return {**document, "seconds": round(time.monotonic() - started, 1)}


def audit_question(
    question: Question, executor: Executor, progress: Progress, should_stop: ShouldStop | None = None
) -> dict[str, Any]:
    """Audit the data of an opened question, as a run does before its search.

    Parameters
    ----------
    question : Question
    executor : Executor
        Fits the probe; must be idle.
    progress : Progress
        Its `track` may raise to end the audit.
    should_stop : callable, optional
        Asked while the probe is fitted.

    Returns
    -------
    dict
        As `audit`.
    """
    started, spec = time.monotonic(), question.spec
    subject, opened = _of_question(question)
    found = survey(spec.data, question.dataset.store, progress, question.workspace.groups)
    faults: tuple[Fault, ...] = ()
    if not _same(found, question.dataset):
        place, fix = str(spec.data.manifest), "start again when nobody writes to it"
        faults = (Fault(place, "data that changed since it was read", "data at rest", fix),)
    readable = None if faults else opened
    document = _audited(subject, found, Look(found, progress), readable, faults, executor, progress, should_stop)
    progress.say(f"audit: {audit_words.alarms(document)}; see {document['html']}")
    return {**document, "seconds": round(time.monotonic() - started, 1)}


def known_audit(question: Question) -> dict[str, Any] | None:
    """What an earlier audit of exactly this question's data has found; None if there was none. Looks at nothing."""
    subject, opened = _of_question(question)
    return stored_audit(subject.folder, _key(subject, opened))


def audit_summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an audit that a run's own document holds: counts, checks of shortcuts, and where the rest lies."""
    return {
        **{name: len(document[name]) for name in COUNTED},
        **{name: document[name] for name in ("shortcut_checks", "groups_csv", "worklist", "html", "json")},
    }


def _of_question(question: Question) -> tuple[Subject, Opened]:
    subject = _of_study(question.spec, question.workspace)
    return subject, Opened(question.dataset, question.partition, question.maker, baseline_config(question.space))


def _same(found: Survey, dataset: Dataset) -> bool:
    """Whether a survey sees the rows, pictures and labels of a data set."""
    rows = [(row.filename, row.label) for row in found.manifest.rows]
    labels = [dataset.classes[label] for label in dataset.labels]
    contents = tuple(picture.content if picture else "" for picture in found.pictures)
    same_rows = rows == list(zip(dataset.filenames, labels, strict=True))
    return not found.faults and same_rows and contents == dataset.content


def _subject(target: str, root: Path) -> tuple[Subject, SearchSpace]:
    path, workspace = Path(target), Workspace(root.resolve())
    if path.is_dir() or path.suffix == ".csv":
        from fdsearch.data.inspect import inspect_folder

        found = inspect_folder(path)
        split = SplitSpec(n_splits=found.n_splits)  # as `init` writes it
        return Subject(found.name, _data_spec(found), split, workspace, found.name, 0), SearchSpace(())
    spec = resolve_study(target, root)
    return _of_study(spec, workspace), spec.space


def _of_study(spec: StudySpec, workspace: Workspace) -> Subject:
    return Subject(spec.name, spec.data, spec.split, workspace, spec.partition_name, spec.search.random_state)


def _data_spec(found: Inspection) -> DataSpec:
    """The data section that `init` would write for a folder."""
    return DataSpec.model_validate(
        {
            "manifest": found.manifest,
            "images": found.images,
            "filename": found.filename,
            "label": found.label,
            "group": found.group,
            "metadata": found.metadata,
            "pass_classes": found.pass_classes,
        }
    )


def _survey(subject: Subject, progress: Progress) -> tuple[Survey, Look]:
    """Survey the data so that groups that are told from the pictures take no second look at them."""
    data, store, groups = subject.data, PixelStore(subject.workspace.pixels), subject.workspace.groups
    if not data.group.auto:
        found = survey(data, store, progress, groups)
        return found, Look(found, progress)
    ungrouped = survey(data.model_copy(update={"group": GroupSpec()}), store, progress)
    look = Look(ungrouped, progress)
    tell_parts(subject, ungrouped, look, progress)
    return survey(data, store, progress, groups), look


def _open(subject: Subject, space: SearchSpace, progress: Progress) -> Opened:
    """Deal the roles without keeping them, and make ready what the probe needs; DataError if parts are too few."""
    workspace = subject.workspace
    dataset = load_dataset(subject.data, PixelStore(workspace.pixels), progress, workspace.groups)
    partition = assign(dataset, subject.split, workspace.partition(subject.partition), remember=False)
    try:
        probe = baseline_config(resolve_space(space, Silent()))
    except (ConfigError, ResourceError):  # a plugin's networks, or weights that are not here: the probe is ours
        probe = baseline_config(SearchSpace(()))
    sizes = [] if probe is None else [(probe.image_size, probe.resize)]
    maker = JobMaker(
        labels=dataset.labels,
        groups=dataset.groups,
        n_classes=len(dataset.classes),
        pixels=dataset.decode(sizes, progress),
        data_digest=dataset.digest,
        prefix_cache=workspace.prefix,
    )
    return Opened(dataset, partition, maker, probe)


def _audited(
    subject: Subject,
    found: Survey,
    look: Look,
    opened: Opened | None,
    faults: tuple[Fault, ...],
    executor: Executor,
    progress: Progress,
    should_stop: ShouldStop | None,
) -> dict[str, Any]:
    key = None if opened is None else _key(subject, opened)
    if key is not None and (stored := stored_audit(subject.folder, key)) is not None:
        return stored
    parts = tell_parts(subject, found, look, progress)
    if opened is None:
        evidence = faulty_evidence(subject, found, faults, parts, look)
    else:
        evidence = whole_evidence(subject, found, opened, parts, look, executor, progress, should_stop)
    group = subject.data.group
    document = audit_data(
        found,
        evidence,
        wanted=WANTED,
        share=subject.split.holdout if isinstance(subject.split.holdout, float) else None,
        source="inferred" if found.groups.inferred else "none" if group.auto or group == GroupSpec() else "given",
        random_state=subject.split.random_state,
    )
    if opened is not None:
        document["notes"] += opened.partition.changes
    if opened is not None and opened.probe is not None and evidence.probabilities is None:
        key = None  # the probe failed: it shall be tried again the next time
    earlier = corrections_in_force(subject.data.corrections, [row.filename for row in found.manifest.rows])
    return write_audit(subject.folder, subject.name, key, document, earlier, look.by_name())


def _key(subject: Subject, opened: Opened) -> str:
    """Digest of all that the findings depend on."""
    dataset, partition, corrections = opened.dataset, opened.partition, subject.data.corrections
    return digest_json(
        [
            [AUDIT_VERSION, GROUPER_VERSION, dataset.identity, subject.random_state],
            [
                list(dataset.filenames),
                list(dataset.group_names),
                {name: list(cells) for name, cells in dataset.metadata.items()},
            ],
            [subject.data.model_dump(mode="json"), subject.split.model_dump(mode="json")],
            digest_file(corrections) if corrections is not None and corrections.is_file() else None,
            [partition.holdout.rows.tolist(), [fold.validation.tolist() for fold in partition.folds]],
            None if opened.probe is None else opened.probe.to_json(),
        ]
    )
