"""What an audit holds against a table: pictures looked at, splits that are there, and the probe's out-of-fold answers.

`auditing` says what is audited and hands the evidence to `data.audit`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import DataSpec, HoldoutRule, SplitSpec
from fdsearch.data.audit import Evidence
from fdsearch.data.dataset import Dataset
from fdsearch.data.group_sources import declared_groups
from fdsearch.data.holdout_rule import rows_under_rule
from fdsearch.data.partition import Partition
from fdsearch.data.parts.finding import Parts
from fdsearch.data.parts.glance import Traits, glance
from fdsearch.data.parts.rows import parts_of_rows
from fdsearch.data.roles import DEVELOPMENT, HOLDOUT, read_roles, remembered_name
from fdsearch.data.survey import Survey
from fdsearch.errors import Fault
from fdsearch.execution.events import Executor
from fdsearch.imaging import Gray
from fdsearch.progress import Progress
from fdsearch.selection.calibration import fit_temperature, prior_shift
from fdsearch.training.job import JobMaker, Result
from fdsearch.trial import TrialConfig
from fdsearch.workspace import Workspace

_ATTEMPTS = 2
"""A fit of the probe that is lost with its process is tried this often."""

ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class Subject:
    """What is audited.

    Parameters
    ----------
    name : str
    data : DataSpec
    split : SplitSpec
    workspace : Workspace
    partition : str
        Name of the partition whose roles are on file, if any are.
    random_state : int
        Seed of the probe's fits: a search's own, so that they are those of its first trial.
    """

    name: str
    data: DataSpec
    split: SplitSpec
    workspace: Workspace
    partition: str
    random_state: int

    @property
    def folder(self) -> Path:
        """Where the audit is written."""
        return self.workspace.audit(self.name)


@dataclass(frozen=True, eq=False)
class Opened:
    """Data without a fault, its roles dealt, and the probe that its labels are held against, where there is one."""

    dataset: Dataset
    partition: Partition
    maker: JobMaker
    probe: TrialConfig | None


@dataclass(frozen=True, eq=False)
class Look:
    """The readable pictures of a survey, looked at when somebody first asks, and once."""

    found: Survey
    progress: Progress

    @cached_property
    def rows(self) -> list[int]:
        """The rows with a readable picture."""
        return [row for row, picture in enumerate(self.found.pictures) if picture is not None]

    @cached_property
    def _seen(self) -> tuple[list[Gray], list[Traits]]:
        members = self.found.manifest.rows
        return glance([path for row in self.rows if (path := members[row].path) is not None], self.progress)

    def copies(self) -> list[Gray]:
        """Small copies of the readable pictures."""
        return self._seen[0]

    def traits(self) -> tuple[Traits | None, ...]:
        """By row."""
        known = dict(zip(self.rows, self._seen[1], strict=True))
        return tuple(known.get(row) for row in range(len(self.found.pictures)))

    def by_name(self) -> dict[str, Gray]:
        """The small copies by filename."""
        names = [self.found.manifest.rows[row].filename for row in self.rows]
        return dict(zip(names, self.copies(), strict=True))


def tell_parts(subject: Subject, found: Survey, look: Look, progress: Progress) -> Parts:
    """Tell the parts of all rows from their pictures, whatever the study says of them; the same every time."""
    if not look.rows:
        n, nobody = len(found.pictures), np.zeros((0, 2), np.int64)
        return Parts(np.arange(n, dtype=np.int64), np.zeros(n), nobody, np.zeros(0), None, ())
    folder = subject.workspace.groups
    return parts_of_rows(subject.data, found.manifest, found.pictures, folder, progress, copies=look.copies)


def faulty_evidence(subject: Subject, found: Survey, faults: tuple[Fault, ...], parts: Parts, look: Look) -> Evidence:
    """Evidence about data that no study could use as it is: its labels are held against nothing."""
    why = "the data has problems: mend them first"
    development = _not_sealed(subject, found)
    return Evidence(parts, look.traits(), development, _declared(subject, found), faults=faults, why=why)


def whole_evidence(
    subject: Subject,
    found: Survey,
    opened: Opened,
    parts: Parts,
    look: Look,
    executor: Executor,
    progress: Progress,
    should_stop: ShouldStop | None,
) -> Evidence:
    """Evidence about data whose roles are dealt; fits the probe."""
    probabilities, why = _out_of_fold(subject, opened, executor, progress, should_stop)
    return Evidence(
        parts,
        look.traits(),
        opened.partition.development.rows,
        {**_declared(subject, found), **_dealt(subject, opened)},
        probabilities,
        suspects_why=why,
    )


def _declared(subject: Subject, found: Survey) -> dict[str, list[str]]:
    """The groups as they were declared, before copies joined them; nothing where none were."""
    declared, _ = declared_groups(subject.data, found.manifest)
    names = [row.group or name for row, name in zip(found.manifest.rows, declared, strict=True)]
    return {"declared group": names} if any(names) else {}


def _dealt(subject: Subject, opened: Opened) -> dict[str, list[str]]:
    """Sides of the holdout rule, roles and folds, row by row.

    A picture that has a role on file is listed with that: where groups of both roles have become one, dealing has
    moved it.
    """
    dataset, partition = opened.dataset, opened.partition
    stored = read_roles(subject.workspace.partition(subject.partition))
    roles, folds = [DEVELOPMENT] * len(dataset), [""] * len(dataset)
    for row in partition.holdout.rows.tolist():
        roles[row] = HOLDOUT
    for number, fold in enumerate(partition.folds):
        for row in fold.validation.tolist():
            folds[row] = f"fold {number}"
    if subject.split.validation is not None:
        folds = [side or ("training" if role == DEVELOPMENT else "") for side, role in zip(folds, roles, strict=True)]
    roles = [
        stored[content].role if content in stored else role
        for content, role in zip(dataset.content, roles, strict=True)
    ]
    return {**_ruled(subject, dataset), "role": roles, "fold": folds}


def _ruled(subject: Subject, dataset: Dataset) -> dict[str, list[str]]:
    """The sides of the holdout's rule itself, before it sealed whole groups; nothing where there is no rule."""
    rule = subject.split.holdout
    if not isinstance(rule, HoldoutRule):
        return {}
    named = rows_under_rule(dataset, rule).tolist()
    return {"holdout rule": [HOLDOUT if sealed else DEVELOPMENT for sealed in named]}


def _not_sealed(subject: Subject, found: Survey) -> NDArray[np.int64]:
    """The rows of faulty data that no partition on file has sealed, by their bytes or their group."""
    stored = read_roles(subject.workspace.partition(subject.partition))
    contents = {content for content, known in stored.items() if known.role == HOLDOUT}
    names = {known.group for known in stored.values() if known.role == HOLDOUT}
    groups = found.groups
    rows = [
        row
        for row, picture in enumerate(found.pictures)
        if (picture is None or picture.content not in contents)
        and remembered_name(groups.names[groups.ids[row]]) not in names
    ]
    return np.array(rows, np.int64)


def _out_of_fold(
    subject: Subject, opened: Opened, executor: Executor, progress: Progress, should_stop: ShouldStop | None
) -> tuple[NDArray[np.float64] | None, str]:
    """Calibrated probabilities of the probe, shape (n, n_classes), NaN where not predicted; or why there are none."""
    if opened.probe is None:
        return None, "no pretrained weights on this machine"
    dataset, folds = opened.dataset, opened.partition.folds
    jobs = [
        opened.maker.fold_job(
            f"audit-{number}",
            opened.probe,
            folds,
            number,
            random_state=subject.random_state,
            repeat=0,
            single_split=subject.split.validation is not None,
        )
        for number in range(len(folds))
    ]
    done: list[str] = []

    def count(result: Result) -> None:
        done.append(result.id)
        progress.track("audit: probe", len(done), len(jobs))

    progress.track("audit: probe", 0, len(jobs))
    results = executor.run_all(jobs, on_result=count, should_stop=should_stop, attempts=_ATTEMPTS)
    progress.track("audit: probe", len(done), len(jobs))  # where a person has asked to stop, it ends here
    logits = np.full((len(dataset), len(dataset.classes)), np.nan)
    for job, fold in zip(jobs, folds, strict=True):
        result = results.get(job.id)
        if result is None or result.status != "done" or result.logits is None:
            return None, f"the probe could not be fitted: {result.last_words if result else 'stopped'}"
        logits[fold.validation] = result.logits
    rows = np.flatnonzero(~np.isnan(logits).any(axis=1))
    shares = np.mean([result.effective_shares for result in results.values()], axis=0)
    shift = prior_shift(dataset.labels[rows], shares)
    return fit_temperature(logits[rows], dataset.labels[rows], shift).apply(logits), ""
