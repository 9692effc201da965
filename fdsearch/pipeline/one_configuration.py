"""`train`: one configuration on the study's folds, without the search."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.config import StudySpec
from fdsearch.errors import ConfigError, Fault, ResourceError
from fdsearch.execution.events import Reported
from fdsearch.execution.in_process import InProcess
from fdsearch.execution.supervisor import Supervisor
from fdsearch.metrics import macro_f1, per_class_report
from fdsearch.pipeline.database import has_study, location
from fdsearch.pipeline.question import Question, baseline_point, open_question
from fdsearch.progress import Progress, Silent
from fdsearch.search.storage import open_storage
from fdsearch.search.study import CONFIG, study_name
from fdsearch.space import Value
from fdsearch.training.job import Result
from fdsearch.trial import TrialConfig


def train(
    spec: StudySpec,
    root: Path,
    *,
    trial: int | None = None,
    overrides: Mapping[str, Value] | None = None,
    in_process: bool = False,
    plugins: Sequence[Path] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train one configuration on all folds of a study and score it as a trial is scored.

    Parameters
    ----------
    trial : int, optional
        Start from the parameters of this trial; default the frozen probe.
    overrides : mapping, optional
        Parameters that replace those.
    in_process : bool
        Train in this process, so that a debugger can step through.

    Returns
    -------
    dict
        ``study, value, per_class, epochs`` (per fold)``, params, seconds``.

    Raises
    ------
    ConfigError
        If the trial does not exist or a parameter is wrong.
    ResourceError
        If a fold fails.
    """
    started, progress = time.monotonic(), progress or Silent()
    question = open_question(spec, root, plugins, progress, remember=False)
    params = {**_start(question, trial), **(overrides or {})}
    config = TrialConfig.from_params(params)
    # An override may ask for a size that no trial of the space has.
    sizes = question.dataset.decode([(config.image_size, config.resize)], progress)
    question = replace(question, maker=replace(question.maker, pixels=sizes))
    executor: Supervisor | InProcess = InProcess() if in_process else Supervisor(log=_log(question))
    with executor:
        results = run_folds(question, config, executor, progress)
    rows = np.concatenate([fold.validation for fold in question.partition.folds])
    logits = np.concatenate([result.logits for result in results if result.logits is not None])
    dataset = question.dataset
    y_true, y_pred = dataset.labels[rows], logits.argmax(axis=1)
    return {
        "study": spec.name,
        "value": macro_f1(y_true, y_pred, len(dataset.classes)),
        "per_class": per_class_report(y_true, y_pred, dataset.classes, dataset.groups[rows]),
        "epochs": [result.epochs for result in results],
        "params": params,
        "seconds": round(time.monotonic() - started, 1),
        "training_seconds": [round(result.seconds, 1) for result in results],
    }


def run_folds(
    question: Question, config: TrialConfig, executor: Supervisor | InProcess, progress: Progress
) -> list[Result]:
    """Train a configuration on each fold of a question.

    Raises
    ------
    ResourceError
        If a fold fails; names all that did.
    """
    folds = question.partition.folds
    jobs = [
        question.maker.fold_job(
            f"fold-{number}",
            config,
            folds,
            number,
            random_state=question.spec.search.random_state,
            repeat=0,
            single_split=question.single_split,
        )
        for number in range(len(folds))
    ]

    def on_report(event: Reported) -> bool:
        progress.track(event.job_id, event.epoch + 1, config.epochs)
        return True

    results = list(executor.run_all(jobs, on_report=on_report).values())
    faults = [
        Fault(result.id, result.last_words, "a finished fit", "see workers.txt in the run folder")
        for result in results
        if result.status != "done"
    ]
    if faults:
        raise ResourceError("training failed", faults)
    return results


def _start(question: Question, trial: int | None) -> dict[str, Value]:
    if trial is None:
        return baseline_point(question.space) or question.space.complete({})
    import optuna

    known: list[int] = []
    if has_study(question.folder):
        name, storage = study_name(question.spec.name, question.identity), open_storage(location(question.folder))
        searched = name in optuna.get_all_study_names(storage)
        trials = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False) if searched else []
        known = [found.number for found in trials if CONFIG in found.user_attrs]  # has drawn all, and is no lesson
        if trial in known:
            return question.space.complete(trials[trial].params)
    expected = f"a trial of this study ({len(known)} so far)"
    raise ConfigError("no such trial", [Fault("--trial", str(trial), expected, "see `fdsearch report`")])


def _log(question: Question) -> Path:
    question.folder.mkdir(parents=True, exist_ok=True)
    return question.folder / "workers.txt"
