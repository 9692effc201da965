"""From a cross-validated candidate to a folder that can be registered: final fit, contract, predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.errors import Fault, ResourceError
from fdsearch.files import digest_file, digest_json
from fdsearch.pipeline.finished_jobs import REPEATS, FinishedJobs
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.question import Question
from fdsearch.registry.draft import CONTRACT, MODEL, PREDICTIONS
from fdsearch.selection.calibration import fit_temperature, prior_shift
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.decision import pass_rule
from fdsearch.serving.contract import Contract
from fdsearch.training.job import fit_seed

_REFIT = 10_000
"""Repeat number of the final fit, so that its seed is no fold's."""
_ATTEMPTS = 3


def refit(question: Question, candidate: Candidate, run: Running, folder: Path) -> None:
    """Train a candidate on all development parts as its folds were trained, and save the model.

    Raises
    ------
    ResourceError
        If the fit fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    job = question.maker.job(
        f"refit-{candidate.name}",
        candidate.config,
        question.partition.development.rows,
        np.empty(0, np.int64),
        seed=refit_seed(question),
        save_to=folder / MODEL,
        refit=candidate.refit(),
    )
    job = FinishedJobs(question.folder / REPEATS).resumable(job)
    results = run.executor.run_all([job], should_stop=run.interruption.requested, attempts=_ATTEMPTS)
    run.interruption.check()
    result = results[job.id]
    if result.status != "done":
        fault = Fault(job.id, result.last_words, "a finished fit", "see workers.txt in the run folder")
        raise ResourceError("the final fit failed", [fault])


def refit_seed(question: Question) -> int:
    """Seed of the final fit."""
    return fit_seed(question.spec.search.random_state, _REFIT, 0)


def write_contract(question: Question, candidate: Candidate, folder: Path) -> Contract:
    """Calibrate and choose the pass threshold on out-of-fold predictions; write ``contract.json`` and ``oof.npz``."""
    rows, dataset, spec = question.partition.development.rows, question.dataset, question.spec
    labels, groups, logits = dataset.labels[rows], dataset.groups[rows], candidate.logits[:, rows]
    calibration = fit_temperature(logits, labels, prior_shift(labels, candidate.effective_shares))
    mask = np.isin(dataset.classes, dataset.pass_classes)
    rule = pass_rule(calibration.apply(logits), labels, groups, mask, spec.decision)
    if question.single_split and candidate.config.early_stopping.monitor != "none":
        rule = {"rule": None, "why": "the validation part chose the epochs, so nothing can be promised from it"}
    contract = Contract.model_validate(
        {
            "input": {"size": candidate.config.image_size, "resize": candidate.config.resize},
            "classes": dataset.classes,
            "pass_classes": dataset.pass_classes,
            "calibration": calibration.to_json(),
            "decision": rule["rule"],
            "decision_why": rule["why"] or None,
        }
    )
    contract.write(folder / CONTRACT)
    np.savez_compressed(folder / PREDICTIONS, logits=logits, rows=rows, labels=labels, groups=groups)
    return contract


def lineage(question: Question, candidate: Candidate, trial: int | None, params: dict[str, Any]) -> dict[str, Any]:
    """Where a version comes from: everything needed to train it again and to see that it is the same question."""
    dataset, spec = question.dataset, question.spec
    return {
        "study": spec.name,
        "trial": trial,
        "params": params,
        "config": candidate.config.to_json(),
        "refit": {"epochs": candidate.refit().epochs, "seed": refit_seed(question)},
        "random_state": {"search": spec.search.random_state, "split": spec.split.random_state},
        "data": {"digest": dataset.digest, "labels": dataset.label_digest, "groups": dataset.group_digest},
        "partition": {
            "name": spec.partition_name,
            "digest": digest_file(question.workspace.partition(spec.partition_name)),
        },
        "space": digest_json(question.space.to_json()),
        "definition": digest_json(dict(question.definition)),
        "plugins": list(question.definition["plugins"]),
    }
