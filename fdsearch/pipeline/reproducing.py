"""`reproduce`: a registered version's trial once more on the same data, beside the score that was sealed with it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.errors import ConfigError, DataError, Fault
from fdsearch.execution.events import Executor, OnResult
from fdsearch.execution.machine import Machine, open_executor
from fdsearch.files import digest_json
from fdsearch.metrics import macro_f1, predict
from fdsearch.pipeline.candidates import folds_of_repeats, repeats_random_state
from fdsearch.pipeline.origin import Origin, OutOfFold
from fdsearch.pipeline.question import Question, open_question
from fdsearch.pipeline.refitting import RECIPE, study_of
from fdsearch.progress import Progress, Silent
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.cross_validation import cross_validate
from fdsearch.training.job import Job, Result


def reproduce(
    reference: str,
    root: Path,
    *,
    plugins: Sequence[Path] = (),
    machine: Machine | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a version's trial again, on the folds and with the seeds of its first repeat, and compare.

    Nothing is registered, nothing is stored, and the holdout stays closed.

    Parameters
    ----------
    reference, root, plugins
        As in `fdsearch.pipeline.refitting.refit`.
    machine : Machine, optional
        Default one worker.
    progress : Progress, optional

    Returns
    -------
    dict
        ``model, study, trial``; ``value`` (pooled out-of-fold macro F1 now), ``recorded`` (of the predictions that are
        sealed in the version) and ``difference`` (value minus recorded); ``n`` (pictures), ``changed`` (those that get
        another class), ``largest_logit_difference``; ``differences`` (of packages, code and definition, one sentence
        each), ``params``, ``seconds``.

    Raises
    ------
    ConfigError
        If the study, its split or the plugins are not those of the version.
    DataError
        If the data is not.
    ResourceError
        If the trial cannot be trained.
    """
    started, progress = time.monotonic(), progress or Silent()
    origin = Origin.of(reference, root)
    recorded = OutOfFold.of(origin.version)
    origin.check_plugins(plugins)
    question = open_question(study_of(origin, root), root, plugins, progress, remember=False, only=origin.config)
    _check_same(question, origin, recorded)
    differences = origin.differences(digest_json(dict(question.definition)))
    for each in differences:
        progress.say(each)
    log = question.workspace.run(origin.study) / "workers.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open_executor(machine or Machine(), log, say=progress.say) as executor:
        again = _first_repeat(question, origin, executor, progress)
    return {
        "model": origin.version.reference,
        "study": origin.study,
        "trial": origin.lineage.get("trial"),
        **_compared(again.logits[0][recorded.rows], recorded),
        "differences": differences,
        "params": origin.params,
        "seconds": round(time.monotonic() - started, 1),
    }


def _check_same(question: Question, origin: Origin, recorded: OutOfFold) -> None:
    """Refuse other pictures, labels, parts or roles than the version was made from, and another split."""
    name, said = origin.version.reference, origin.lineage["random_state"]
    states = {"search": question.spec.search.random_state, "split": question.spec.split.random_state}
    if states != said:
        fault = Fault(f"study {origin.study}: random_state", str(states), str(said), "restore the study of then")
        raise ConfigError(f"{name} was made with other random states", [fault])
    manifest, fix = str(question.spec.data.manifest), "restore the data of then; `fdsearch refit` takes that of today"
    faults = [
        Fault(manifest, f"other {what} ({now[:12]}...)", f"those of {name} ({then[:12]}...)", fix)
        for what, (then, now) in origin.changed_data(question.dataset).items()
    ]
    if not faults and not np.array_equal(question.partition.development.rows, recorded.rows):
        place = str(question.workspace.partition(question.spec.partition_name))
        faults = [Fault(place, "other roles", f"those of {name}", "restore the partition's file from a backup")]
    if faults:
        raise DataError(f"the data is not that of {name}", faults)


def _first_repeat(question: Question, origin: Origin, executor: Executor, progress: Progress) -> Candidate:
    """Cross-validate as the version was, through the same code; results that are on disk are not looked for."""

    def run_all(
        jobs: Sequence[Job], *, on_result: OnResult, deadline: float | None, attempts: int
    ) -> Mapping[str, Result]:
        return executor.run_all(jobs, on_result=on_result, deadline=deadline, attempts=attempts)

    validation = cross_validate(
        [(RECIPE, origin.config)],
        folds_of_repeats(question, 1),
        question.maker,
        run_all,
        single_split=question.single_split,
        random_state=repeats_random_state(origin.lineage["random_state"]["search"]),
        progress=progress,
    )
    return validation[RECIPE]


def _compared(logits: Any, recorded: OutOfFold) -> dict[str, Any]:
    """Today's predictions beside the recorded ones, of the rows that both predict."""
    before, labels = recorded.logits[0], recorded.labels
    now_class, before_class = predict(logits), predict(before)
    value, was = (macro_f1(labels, each, logits.shape[1]) for each in (now_class, before_class))
    known = ~np.isnan(before).any(axis=1) & ~np.isnan(logits).any(axis=1)
    return {
        "value": value,
        "recorded": was,
        "difference": value - was,
        "n": int(known.sum()),
        "changed": int((now_class[known] != before_class[known]).sum()),
        "largest_logit_difference": float(np.abs(logits[known] - before[known]).max(initial=0.0)),
    }
