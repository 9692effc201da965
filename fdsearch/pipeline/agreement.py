"""Whether the final fit decides as the models did whose predictions were measured; if not, their mean ships instead.

What calibration, threshold and comparison rest on are the models of the folds; what would ship is another one, trained
once more on everything. `registration` asks within the candidate's one opening of the holdout, and no label is read
here.
"""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.decide import decide, probabilities
from fdsearch.errors import Fault, ResourceError
from fdsearch.files import disk_errors
from fdsearch.metrics import softmax
from fdsearch.models.ensemble import average, n_networks
from fdsearch.pipeline.finished_jobs import REPEATS, FinishedJobs
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.holdout import bundled, sealed_pictures
from fdsearch.pipeline.question import Question
from fdsearch.registry.draft import CONTRACT, MODEL
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.cross_validation import saving
from fdsearch.serving.loading import load_bytes
from fdsearch.serving.novelty import NOVELTY
from fdsearch.serving.predictor import Predictor
from fdsearch.training import latency

SAME_CLASS = 0.95
"""Share of the sealed parts that must get the same class from both, or the mean of the folds' models ships."""

REFIT, ENSEMBLE = "refit", "ensemble"
LATENCY = "ensemble_latency_ms"
"""Name of the gate for the bound of the search, by one thread as there; `max_latency_ms` of the registry is about the
exports as they are deployed."""
_ATTEMPTS = 3


def settle(question: Question, candidate: Candidate, folder: Path, run: Running) -> dict[str, Any]:
    """Compare the final fit with the mean of its folds' models on the sealed pictures, and leave what ships.

    Parameters
    ----------
    candidate : Candidate
    folder : Path
        Holds ``model.keras`` and ``contract.json``; the model is replaced where the ensemble ships.

    Returns
    -------
    dict
        As `agree`; where the ensemble ships also ``networks`` (that a picture runs through) and, where the study
        bounds the latency, ``latency_ms`` (None if it could not be measured).

    Raises
    ------
    ResourceError
        If a model of a fold had to be trained again and could not.
    """
    files = fold_models(candidate, run, FinishedJobs(question.folder / REPEATS))
    rival = folder.with_name(f"{folder.name}.folds")
    shutil.rmtree(rival, ignore_errors=True)
    rival.mkdir(parents=True)
    try:
        networks = _write_mean(files, rival / MODEL)
        for file in (CONTRACT, *([NOVELTY] if (folder / NOVELTY).is_file() else [])):
            shutil.copyfile(folder / file, rival / file)
        name = question.spec.model_name
        with bundled(folder, name) as refit, bundled(rival, name) as ensemble:
            found = agree(refit, ensemble, *sealed_pictures(question))
        if found["shipped"] == ENSEMBLE:
            (rival / MODEL).replace(folder / MODEL)
            found |= {"networks": networks, **_latency(question, candidate, networks)}
    finally:
        shutil.rmtree(rival, ignore_errors=True)
    return found


def agree(refit: Predictor, ensemble: Predictor, paths: Sequence[Path], parts: Sequence[str]) -> dict[str, Any]:
    """Count the parts that get the same class from two models.

    The class of a part is that of the largest mean probability over its pictures: asking every one of six pictures to
    agree would ask for more than a model that is shipped can do.

    Parameters
    ----------
    refit, ensemble : Predictor
        The final fit, and the mean of its folds' models, under one contract.
    paths : sequence of Path
        Pictures.
    parts : sequence of str
        The part that each picture shows.

    Returns
    -------
    dict
        ``parts`` (their number), ``same`` (of the same class), ``share``, ``decisions_same`` (share of parts with the
        same decision), ``shipped`` (``refit`` or ``ensemble``) and ``why``.
    """
    index = np.unique(np.asarray(parts), return_inverse=True)[1].astype(np.int64)
    (classes, decisions), (other_classes, other_decisions) = (
        _answers(model, paths, parts, index) for model in (refit, ensemble)
    )
    n_parts, same = len(classes), int((classes == other_classes).sum())
    share = same / n_parts
    differing = {part for part, one, other in zip(parts, decisions, other_decisions, strict=True) if one != other}
    shipped = REFIT if share >= SAME_CLASS else ENSEMBLE
    told = f"{same} of {n_parts} sealed parts get the same class from the final fit and from its folds' models"
    bound = f"{100 * SAME_CLASS:.0f} %"
    why = f"{told}, {bound} or more" if shipped == REFIT else f"{told}, less than {bound}: the mean of these ships"
    return {
        "parts": n_parts,
        "same": same,
        "share": share,
        "decisions_same": 1 - len(differing) / n_parts,
        "shipped": shipped,
        "why": why,
    }


def fold_models(candidate: Candidate, run: Running, finished: FinishedJobs) -> list[Path]:
    """The models of the first repeat's folds; those that were not kept are trained again, exactly as before.

    Raises
    ------
    ResourceError
        If one cannot be trained.
    """
    jobs = [job if job.save_to is not None else saving(job, finished.models) for job in candidate.fold_jobs]
    places = [job.save_to for job in jobs if job.save_to is not None]
    missing = [job for job, place in zip(jobs, places, strict=True) if not zipfile.is_zipfile(place)]  # torn: absent
    if missing:
        run.log.say(f"the models of {len(missing)} folds of {candidate.name} were not kept: they are trained again")
        waiting = [finished.resumable(job) for job in missing]
        results = run.executor.run_all(waiting, should_stop=run.interruption.requested, attempts=_ATTEMPTS)
        run.interruption.check()
        for job in missing:
            if results[job.id].status != "done":
                fault = Fault(job.id, results[job.id].last_words, "a finished fit", "see workers.txt in the run folder")
                raise ResourceError("a model of a fold cannot be trained again", [fault])
            finished.keep(job, results[job.id])
    return places


def drop_models(candidates: Iterable[Candidate]) -> None:
    """Remove the folds' models of candidates that will not be compared with them."""
    for candidate in candidates:
        for job in candidate.fold_jobs:
            if job.save_to is not None:
                job.save_to.unlink(missing_ok=True)


def latency_gate(question: Question, agreement: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Where an ensemble ships under a bound of the latency: whether it holds it, as a row of `gates.evaluate`."""
    bound = question.spec.search.max_latency_ms
    if bound is None or agreement is None or agreement["shipped"] != ENSEMBLE:
        return []
    found, networks = agreement.get("latency_ms"), agreement["networks"]
    holds = found is not None and found <= bound
    if found is None:
        why = f"how fast {networks} networks are could not be measured"
    else:
        why = f"{networks} networks take {found:.1f} ms for a picture, {'within' if holds else 'above'} {bound:g}"
    return [{"name": LATENCY, "figure": found, "threshold": bound, "holds": holds, "why": why}]


def _write_mean(files: Sequence[Path], path: Path) -> int:
    """Write the mean of some models; returns how many networks it runs."""
    model = average([load_bytes(file.read_bytes(), str(file)) for file in files])
    with disk_errors(path, "the mean of the folds' models"):
        model.save(path)
    return n_networks(model)


def _answers(
    model: Predictor, paths: Sequence[Path], parts: Sequence[str], index: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[str]]:
    """The class of each part, and the decision about each picture's part."""
    logits, contract = model.logits(paths), model.contract
    # Uncalibrated, as the label of a picture is: for a part with one picture this is its label.
    sums = np.zeros((int(index.max()) + 1, len(contract.classes)))
    np.add.at(sums, index, softmax(logits))
    calibrated = probabilities(logits, contract.calibration.temperature, contract.calibration.bias)
    rule = contract.decision.model_dump() if contract.decision else None
    verdicts = decide(calibrated, contract.pass_mask, rule, parts)
    return sums.argmax(axis=1).astype(np.int64), [verdict.decision for verdict in verdicts]


def _latency(question: Question, candidate: Candidate, networks: int) -> dict[str, float | None]:
    """Milliseconds of the ensemble, whose networks run one after the other; nothing without a bound."""
    if question.spec.search.max_latency_ms is None:
        return {}
    maker, folder = question.maker, question.workspace.latencies
    architecture = latency.Architecture(candidate.config, maker.n_classes, maker.plugins)
    if latency.known(folder, architecture) is None:
        with contextlib.suppress(ResourceError):  # the gate then says that it is not known
            latency.measure(folder, architecture)
    measured = latency.known(folder, architecture)
    return {"latency_ms": None if measured is None else networks * measured.latency_ms}
