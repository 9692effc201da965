"""The recipes whose source claims a score, trained on the candidate's own folds: reported, reproduced, champion.

`selection_stage` asks for it once the candidate is registered, so that nothing here can change what is chosen. The
figures are those of `fdsearch.selection`; `drift_row` adds what the source says of pictures that are none of the
classes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import Recipe
from fdsearch.data.folds import Fold
from fdsearch.errors import ConfigError, DataError
from fdsearch.metrics import predict
from fdsearch.pipeline.budget import Budget
from fdsearch.pipeline.candidates import Contest, finished_repeats, folds_of_repeats, repeats_random_state
from fdsearch.pipeline.finished_jobs import continued
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.question import Question
from fdsearch.selection.candidate import out_of_fold
from fdsearch.selection.comparison import paired_gain
from fdsearch.selection.scores import score
from fdsearch.training.job import Job, JobMaker, Result
from fdsearch.trial import TrialConfig

NO_WEIGHTS = "no weights"
RANDOM = "random initial weights"
_NO_TIME = "the budget has no time for it"
_ATTEMPTS = 3
_RESERVE_S = 30.0

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Reproduction:
    """A recipe with a claim, and what it is trained as.

    Parameters
    ----------
    recipe : Recipe
    params : mapping
        A point of the study's space where the recipe is one, else the recipe's own values; the rest has the defaults
        of `fdsearch.parameters`.
    config : TrialConfig
    why : str
        Why it cannot be trained here; empty where it can.
    """

    recipe: Recipe
    params: Mapping[str, Any]
    config: TrialConfig
    why: str = ""


def claimed_recipes(question: Question) -> list[Reproduction]:
    """The enqueued recipes with a reported score, in the study's order.

    One that lies outside the search space is no trial, but it is a row: what a source did need not be what is searched.
    """
    return [_resolved(question, recipe) for recipe in question.spec.search.enqueue if recipe.reported is not None]


def reproduce_claims(question: Question, contest: Contest, run: Running, budget: Budget) -> list[dict[str, Any]]:
    """Train the recipes on the folds and with the seeds of the candidate's repeats, and compare.

    Returns
    -------
    list of dict
        One row for each recipe with a claim: ``name, kind`` ("model")``, reported, weights`` (where they started from,
        in words; empty for architectures that have none)``, protocol, params``; ``why`` (why it was not run, else
        empty); ``f1, f1_ci, level, interval_why, n, n_groups, min_groups, seconds`` as reproduced (macro F1);
        ``champion`` (``f1, f1_ci, level, why`` of the candidate on the same pictures); ``gain, gain_ci, gain_level,
        gain_claimed, gain_why`` of the candidate over the recipe, paired, all rows at once. Figures that cannot be
        given are None.
    """
    claims = claimed_recipes(question)
    if not claims:
        return []
    run.log.update(now=True, stage="reported recipes", task=None)
    repeats = folds_of_repeats(question, contest.validation.n_repeats)
    known = {index: _compared_already(contest, each.config) for index, each in enumerate(claims)}
    wanted = {index: each for index, each in enumerate(claims) if not each.why and known[index] is None}
    fits, failed = _train(question, wanted, repeats, run, budget)
    logits: dict[int, NDArray[np.float32]] = {}
    for index, name in known.items():
        if name is not None:
            logits[index] = contest.validation[name].logits
        elif index in fits:
            logits[index] = out_of_fold(fits[index], repeats, len(question.dataset), question.maker.n_classes)
    rows = []
    for index, each in enumerate(claims):
        row = {**_blank(question, contest, each), "why": each.why or failed.get(index, "")}
        if index in logits:
            row |= _figures(question, contest, logits[index], len(logits))
            row["seconds"] = round(sum(fit.seconds for repeat in fits.get(index, ()) for fit in repeat), 1) or None
        run.log.say(said(row))
        rows.append(row)
    return rows


def said(row: Mapping[str, Any]) -> str:
    """A row in one line, for the log.

    Examples
    --------
    >>> said({"name": "InceptionV3", "reported": 0.93, "why": "no weights", "f1": None})
    'InceptionV3: reported 0.93, not run: no weights'
    """
    found = f"not run: {row['why']}" if row["why"] else f"reproduced {row['f1']:.4f}"
    return f"{row['name']}: reported {row['reported']:.2f}, {found}"


def protocol(question: Question, config: TrialConfig, n_repeats: int) -> str:
    """How the reproduced score comes about, in words."""
    split, times = question.spec.split, "" if n_repeats == 1 else f", {n_repeats} times over"
    sealed = f"{split.holdout:.0%} sealed" if isinstance(split.holdout, float) else "the holdout sealed"
    stops = config.early_stopping.monitor != "none"
    if not question.single_split:
        inner = ", stopped early on an inner part of its own training parts" if stops else ""
        return f"{len(question.partition.folds)} folds of parts, {sealed}{times}{inner}"
    flattered = "; the scored part chose the epochs, as its source does, which flatters it" if stops else ""
    return f"one validation part, {split.validation:.0%} of the parts, dealt anew, {sealed}{times}{flattered}"


def _resolved(question: Question, recipe: Recipe) -> Reproduction:
    from fdsearch.models.weights import available
    from fdsearch.models.weights_files import WEIGHTS_FILES

    try:
        params = question.space.complete(recipe.params)
    except ConfigError:
        params = dict(recipe.params)
    config = TrialConfig.from_params(params)
    absent = config.backbone in WEIGHTS_FILES and config.weights not in available(config.backbone)
    return Reproduction(recipe, params, config, NO_WEIGHTS if absent else "")


def _compared_already(contest: Contest, config: TrialConfig) -> str | None:
    """The compared configuration that is the recipe, if one is: nothing is trained twice."""
    return next((each.name for each in contest.validation.candidates if each.config == config), None)


def _train(
    question: Question,
    wanted: Mapping[int, Reproduction],
    repeats: Sequence[Sequence[Fold]],
    run: Running,
    budget: Budget,
) -> tuple[dict[int, list[list[Result]]], dict[int, str]]:
    """The fits of each recipe that got through, by repeat and fold, and why the others did not."""
    sizes = {(each.config.image_size, each.config.resize) for each in wanted.values()} - question.maker.pixels.keys()
    pixels = {**question.maker.pixels, **question.dataset.decode(sorted(sizes), run.log)}
    maker, failed = replace(question.maker, pixels=pixels, depths=None), dict[int, str]()
    jobs: dict[int, list[list[Job]]] = {}
    for index, each in wanted.items():
        try:
            jobs[index] = [_jobs(question, maker, index, each.config, folds, n) for n, folds in enumerate(repeats)]
        except DataError as error:  # too few parts for an inner part
            failed[index] = error.message
    every = [job for of_one in jobs.values() for repeat in of_one for job in repeat]
    done: set[str] = set()

    def count(result: Result) -> None:
        done.add(result.id)
        run.log.track("reported recipes", len(done), len(every))

    deadline = None if budget.left is None else time.monotonic() + max(0.0, budget.left - _RESERVE_S)
    results = continued(run, finished_repeats(question))(every, on_result=count, deadline=deadline, attempts=_ATTEMPTS)
    fits = {}
    for index, of_one in jobs.items():
        found = [[results.get(job.id) for job in repeat] for repeat in of_one]
        finished = [[fit for fit in repeat if fit is not None and fit.status == "done"] for repeat in found]
        if [len(repeat) for repeat in finished] == [len(repeat) for repeat in of_one]:
            fits[index] = finished
        else:
            broken = [fit for repeat in found for fit in repeat if fit is not None and fit.status == "failed"]
            failed[index] = f"{broken[0].failure}: {broken[0].last_words}" if broken else _NO_TIME
    return fits, failed


def _jobs(
    question: Question, maker: JobMaker, index: int, config: TrialConfig, folds: Sequence[Fold], repeat: int
) -> list[Job]:
    """A recipe's fits of one repeat: the folds and seeds that the candidate had there."""
    return [
        maker.fold_job(
            f"recipe-{index}-r{repeat}-f{number}",
            config,
            folds,
            number,
            random_state=repeats_random_state(question.spec.search.random_state),
            repeat=repeat,
            single_split=question.single_split,
        )
        for number in range(len(folds))
    ]


def _blank(question: Question, contest: Contest, each: Reproduction) -> dict[str, Any]:
    """The row of a recipe without its figures."""
    from fdsearch.models.weights_files import WEIGHTS_FILES

    named = {"random": RANDOM, "imagenet": "ImageNet weights"}
    reproduced = ("f1", "f1_ci", "n", "n_groups", "min_groups", "seconds")
    compared = ("champion", "gain", "gain_ci", "gain_claimed")
    return {
        "name": each.recipe.name,
        "kind": "model",
        "reported": each.recipe.reported,
        "weights": named[each.config.weights] if each.config.backbone in WEIGHTS_FILES else "",
        "protocol": protocol(question, each.config, contest.validation.n_repeats),
        "params": dict(each.params),
        **dict.fromkeys((*reproduced, *compared)),
        **dict.fromkeys(("level", "interval_why", "gain_level", "gain_why"), ""),
    }


def _figures(question: Question, contest: Contest, logits: NDArray[np.float32], n_comparisons: int) -> dict[str, Any]:
    """What a recipe's predictions are worth, beside the candidate's on the same pictures."""
    dataset, rows = question.dataset, question.partition.development.rows
    labels, groups, classes = dataset.labels[rows], dataset.groups[rows], dataset.classes
    predicted, ours = predict(logits)[:, rows], contest.candidate.predictions[:, rows]
    found = score(labels, predicted, groups, classes).to_json("f1")
    gain = paired_gain(labels, ours, predicted, groups, classes, n_comparisons=n_comparisons)
    champion = contest.scores[contest.winner].to_json("f1")
    return {
        **{key: found[key] for key in ("f1", "level", "n", "n_groups", "min_groups")},
        "f1_ci": found["macro_f1_ci"],
        "interval_why": found["why"],
        "champion": {
            "f1": champion["f1"],
            "f1_ci": champion["macro_f1_ci"],
            **{k: champion[k] for k in ("level", "why")},
        },
        "gain": gain["gain"],
        "gain_ci": gain["ci"],
        "gain_level": gain["level"],
        "gain_claimed": gain["claimed"],
        "gain_why": gain["why"],
    }
