"""From a cross-validated candidate to a folder that can be registered: final fit, contract, predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.decide import DECISIONS, UNSEEN, severities
from fdsearch.errors import Fault, ResourceError
from fdsearch.files import digest_file, digest_json
from fdsearch.metrics import softmax
from fdsearch.pipeline.finished_jobs import REPEATS, FinishedJobs
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.novelty import Learnt
from fdsearch.pipeline.question import Question
from fdsearch.registry.draft import CONTRACT, MODEL, PREDICTIONS
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.cross_fitting import calibrated
from fdsearch.selection.decision import check_classes
from fdsearch.selection.promise import promise
from fdsearch.selection.reliability import reliability
from fdsearch.selection.repeatability import repeatability
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


def write_contract(question: Question, candidate: Candidate, folder: Path, learnt: Learnt | None = None) -> Contract:
    """Calibrate and decide on out-of-fold predictions; write ``contract.json`` and ``oof.npz``.

    The contract holds the evidence too: how well calibrated, how often parts escape or go to a person, how repeatable.
    All of it, and the threshold, come from parts as calibrated by fits to others; what ships is one fit to all.

    Parameters
    ----------
    folder : Path
    learnt : Learnt, optional
        What is known about novelty.

    Raises
    ------
    ConfigError
        If the study's shares of the line, or its costs, do not name the classes.
    """
    rows, dataset, spec = question.partition.development.rows, question.dataset, question.spec.decision
    check_classes(spec, dataset.classes)
    labels, groups, logits = dataset.labels[rows], dataset.groups[rows], candidate.logits[:, rows]
    calibration, scaled = calibrated(logits, labels, groups, candidate.effective_shares)
    scores, mask = softmax(scaled), np.isin(dataset.classes, dataset.pass_classes)
    flattered = question.single_split and candidate.config.early_stopping.monitor != "none"
    refused = "the validation part chose the epochs, so nothing can be promised from it" if flattered else ""
    decided = promise(scores, labels, groups, dataset.classes, mask, spec, refused)
    alone = severities(scores[decided["repeat"]], mask, decided["rule"])
    seen = np.flatnonzero(alone != UNSEEN)
    contract = Contract.model_validate(
        {
            "input": {"size": candidate.config.image_size, "resize": candidate.config.resize},
            "classes": dataset.classes,
            "pass_classes": dataset.pass_classes,
            "calibration": calibration.to_json(),
            "decision": decided["rule"],
            "decision_why": decided["why"] or None,
            "novelty": learnt.rule if learnt else None,
            "novelty_why": learnt.why if learnt else None,
            "evidence": {
                "calibration": {"method": calibration.method, **reliability(logits, scaled, labels)},
                "decision": decided["evidence"],
                "repeatability": repeatability(
                    [DECISIONS[severity] for severity in alone[seen]],
                    [dataset.group_names[group] for group in groups[seen]],
                    [dataset.filenames[row] for row in rows[seen]],
                ),
                "novelty": learnt.evidence if learnt else None,
            },
        }
    )
    contract.write(folder / CONTRACT)
    pictures: dict[str, Any] = {
        key: np.array([values[row] for row in rows])
        for key, values in (("content", dataset.content), ("filenames", dataset.filenames))
    }
    np.savez_compressed(folder / PREDICTIONS, logits=logits, rows=rows, labels=labels, groups=groups, **pictures)
    return contract


def decision_document(contract: Contract) -> dict[str, Any]:
    """What a contract tells a run's document.

    Returns
    -------
    dict
        ``decision`` (the rule, or None) and ``decision_why``; ``novelty``, ``novelty_why`` and ``novelty_evidence``
        (see `fdsearch.selection.novelty.find`), None where nothing is known; ``calibration`` (see
        `fdsearch.selection.reliability.reliability`, with ``method``), ``decision_evidence`` (see
        `fdsearch.selection.promise.promise`) and ``repeatability`` (see
        `fdsearch.selection.repeatability.repeatability`), None where the contract is of format 1.
    """
    plain = contract.model_dump(mode="json")
    evidence = plain["evidence"] or {}
    return {
        "decision": plain["decision"],
        "decision_why": plain["decision_why"],
        "novelty": plain["novelty"],
        "novelty_why": plain["novelty_why"],
        "novelty_evidence": evidence.get("novelty"),
        "calibration": evidence.get("calibration"),
        "decision_evidence": evidence.get("decision"),
        "repeatability": evidence.get("repeatability"),
    }


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
        **({} if question.refits is None else {"refitted_from": question.refits.to_json()}),
    }
