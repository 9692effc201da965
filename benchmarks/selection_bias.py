"""How biased the corrected score of a chosen trial is, and how often its interval holds, on simulated predictions.

    python benchmarks/selection_bias.py --repetitions 2000
    python benchmarks/selection_bias.py --repetitions 2000 --groups 6x5 6x7 6x10 6x15 6x20 6x30 6x60
    python benchmarks/selection_bias.py --repetitions 2000 --stopped 0.33        # a third is stopped after two folds
    python benchmarks/selection_bias.py --repetitions 2000 --repeats 0           # the search decides alone

One repetition is one study: 30 configurations predict every picture, their errors correlated within a part and between
configurations; the three best of the search are repeated, the best of these is chosen. What it is worth in truth
follows from its confusion matrix.

The last line on stdout is one JSON object: for each setting `bias` (with its standard error) and root mean square error
of `raw` (the highest score of the search, against the truth of the trial that has it), `repeated` (the winner's mean
over its repeats), `corrected` (shipped), `bbc` (BBC-CV as published) and `single` (a trial that nobody chose: what
macro F1 of few groups lacks by itself); and of the intervals `shipped` and `plain` (percentiles of the repeats, which
know nothing of the choice) the coverage, how often they lie above and below the truth, and half their mean width.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.metrics import UNPREDICTED, macro_f1
from fdsearch.selection.replay import optimism
from fdsearch.selection.scores import score
from fdsearch.selection.stack import Stack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK = 20
"""Repetitions of one task; a task's seeds are its own, so that the result does not depend on the processes."""
RECALLS = (0.90, 0.80, 0.70, 0.75, 0.65, 0.60)
TRUTHS: dict[str, tuple[float, float, float]] = {
    "equal": (0.0, 0.0, 0.0),
    "close": (0.10, 0.05, 0.0),
    "spread": (0.25, 0.15, 0.0),
    "tail": (0.15, 0.10, 1.0),
}
"""Standard deviations of the probit of a trial's recalls, common to its classes and of each class, and how much worse
half of the trials are."""
POINTS = ("raw", "repeated", "corrected", "bbc", "single")
INTERVALS = ("shipped", "plain")


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Parameters
    ----------
    groups : tuple of int
        Parts of each class.
    truths : str
        A name of `TRUTHS`.
    trials : int
    top_k : int
        Trials that are repeated.
    repeats : int
        0: the search decides.
    shots : int
        Pictures of a part.
    within, between : float
        Correlation of errors within a part and between trials.
    fold_luck : float
        Share of a trial's own error that each repeat draws anew.
    stopped : float
        Share of the trials that are stopped after two of five folds, the worst there.
    boot : int
    """

    groups: tuple[int, ...] = (40,) * 6
    truths: str = "equal"
    trials: int = 30
    top_k: int = 3
    repeats: int = 2
    shots: int = 3
    within: float = 0.5
    between: float = 0.5
    fold_luck: float = 0.25
    stopped: float = 0.0
    boot: int = 400


@dataclass(frozen=True)
class Study:
    """What one repetition draws; predictions of the search and of `repeats` more rounds, shape (1 + R, m, n)."""

    y_true: Ints
    groups: Ints
    predictions: Ints
    truths: Floats


def draw(setting: Setting, generator: np.random.Generator) -> Study:
    """Draw the truth of every trial, then its predictions."""
    from scipy.special import ndtr, ndtri

    n_classes, m, rounds = len(setting.groups), setting.trials, 1 + setting.repeats
    labels = np.repeat(np.arange(n_classes), setting.groups)  # of the parts
    groups = np.repeat(np.arange(len(labels)), setting.shots)
    y_true = labels[groups]
    common, own, worse = TRUTHS[setting.truths]
    probit = ndtri(np.resize(RECALLS, n_classes)) + common * generator.standard_normal((m, 1))
    probit = probit + own * generator.standard_normal((m, n_classes))
    probit[generator.permutation(m) < m // 2] -= worse

    def errors(*shape: int) -> Floats:
        """Standard normal, correlated within a part."""
        of_part = generator.standard_normal((*shape, len(labels)))[..., groups]
        of_picture = generator.standard_normal(of_part.shape)
        return np.asarray(np.sqrt(setting.within) * of_part + np.sqrt(1 - setting.within) * of_picture)

    lasting, fresh = errors(m), errors(rounds, m)
    apart = np.sqrt(1 - setting.fold_luck) * lasting + np.sqrt(setting.fold_luck) * fresh
    hardness = np.sqrt(setting.between) * errors() + np.sqrt(1 - setting.between) * apart
    other = (y_true + generator.integers(1, n_classes, len(y_true))) % n_classes  # every other class alike
    predictions = np.where(hardness < probit[:, y_true], y_true, other)
    return Study(y_true, groups, predictions, np.array([true_macro_f1(ndtr(row), setting.groups) for row in probit]))


def true_macro_f1(recalls: Floats, groups: tuple[int, ...]) -> float:
    """Macro F1 on endlessly many parts in these shares, where a mistake names every other class alike."""
    shares = np.array(groups) / sum(groups)
    missed = shares * (1 - recalls) / (len(shares) - 1)
    claimed = shares * recalls + missed.sum() - missed
    return float(np.mean(2 * shares * recalls / (shares + claimed)))


def stack_of(setting: Setting, study: Study) -> Stack:
    """Search, stop, repeat and choose as a study does."""
    n_classes, search = len(setting.groups), study.predictions[0].copy()
    complete = np.ones(len(search), np.bool_)
    if n_stopped := round(setting.stopped * len(search)):
        early = study.groups % 5 < 2  # labels are in blocks of parts: every fold holds its share of each class
        partial = [macro_f1(study.y_true[early], row[early], n_classes) for row in search]
        complete[np.argsort(partial)[:n_stopped]] = False
        search[np.ix_(~complete, ~early)] = UNPREDICTED
    scores = np.array([macro_f1(study.y_true, row, n_classes) for row in search])
    best = np.argsort(np.where(complete, -scores, np.inf), kind="stable")[: setting.top_k]
    stack = Stack(search, complete, int(best[0]))
    if not setting.repeats:
        return stack
    contest = {int(trial): study.predictions[1:, trial] for trial in best}
    means = [np.mean([macro_f1(study.y_true, row, n_classes) for row in rows]) for rows in contest.values()]
    return replace(stack, winner=int(best[np.argmax(means)]), contest=contest)


def repetition(setting: Setting, seed: int) -> Floats:
    """One study: errors of `POINTS`, then the distances of both ends of `INTERVALS` to the truth."""
    study = draw(setting, np.random.default_rng(seed))
    stack, classes = stack_of(setting, study), tuple(map(str, range(len(setting.groups))))
    scores = [macro_f1(study.y_true, row, len(classes)) for row in study.predictions[0]]
    best = int(np.where(stack.complete, scores, -np.inf).argmax())
    truth = study.truths[stack.winner]
    drawn: dict[str, Any] = {"n_boot": setting.boot, "random_state": seed + 1}  # another stream than the study's
    found = optimism(study.y_true, stack, study.groups, classes, top_k=max(1, setting.top_k), **drawn)
    rows = stack.contest.get(stack.winner, stack.search[stack.winner])
    plain = score(study.y_true, rows, study.groups, classes, **drawn).interval
    return np.array(
        [
            scores[best] - study.truths[best],
            *(found[key] - truth for key in ("raw", "corrected", "bbc")),
            scores[0] - study.truths[0],
            *(end - truth for ends in (found["ci"], plain.ci) for end in ends or (np.nan, np.nan)),
        ]
    )


def block(setting: Setting, first: int, count: int, seed: int) -> Floats:
    """Some repetitions, shape (count, ...); each has a seed of its own."""
    seeds = np.random.SeedSequence([seed, *setting.groups]).generate_state(first + count)[first:]
    return np.stack([repetition(setting, int(one)) for one in seeds])


def summary(setting: Setting, rows: Floats) -> dict[str, Any]:
    """Bias and coverage over the repetitions of a setting."""
    errors = rows[:, : len(POINTS)]
    low, high = np.moveaxis(rows[:, len(POINTS) :].reshape(len(rows), len(INTERVALS), 2), 2, 0)
    return {
        **asdict(setting),
        "repetitions": len(rows),
        "bias": _named(POINTS, errors.mean(axis=0)),
        "bias_se": _named(POINTS, errors.std(axis=0) / np.sqrt(len(rows)), 5),
        "rmse": _named(POINTS, np.sqrt((errors**2).mean(axis=0))),
        "coverage": _named(INTERVALS, ((low <= 0) & (high >= 0)).mean(axis=0)),
        "too_high": _named(INTERVALS, (low > 0).mean(axis=0)),
        "too_low": _named(INTERVALS, (high < 0).mean(axis=0)),
        "half_width": _named(INTERVALS, (high - low).mean(axis=0) / 2),
    }


def _named(names: Sequence[str], values: Floats, digits: int = 4) -> dict[str, float]:
    return {name: round(float(value), digits) for name, value in zip(names, values, strict=True)}


def measure(settings: list[Setting], n_repetitions: int, processes: int, seed: int) -> list[dict[str, Any]]:
    """Simulate all settings, block by block, on several processes."""
    starts = range(0, n_repetitions, BLOCK)
    found: dict[tuple[int, int], Floats] = {}
    began = time.monotonic()
    # Processes that are started anew read how many threads they may use; forked ones would not.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {
            pool.submit(block, setting, start, min(BLOCK, n_repetitions - start), seed): (number, start)
            for number, setting in enumerate(settings)
            for start in starts
        }
        for done in as_completed(waiting):
            found[waiting[done]] = done.result()
            share = len(found) / len(waiting)
            print(f"\r{share:6.1%} after {time.monotonic() - began:.0f} s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [
        summary(setting, np.concatenate([found[number, start] for start in starts]))
        for number, setting in enumerate(settings)
    ]


def read_groups(text: str) -> tuple[int, ...]:
    """``6x40`` or ``156,20,17``."""
    classes, _, size = text.partition("x")
    return (int(size),) * int(classes) if size else tuple(int(part) for part in text.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--groups", type=read_groups, nargs="+", default=[(156, 20, 17, 16, 9, 7), (40,) * 6])
    parser.add_argument("--truths", choices=list(TRUTHS), nargs="+", default=["equal", "spread"])
    numbers = ("trials", "top_k", "repeats", "shots", "within", "between", "fold_luck", "stopped", "boot")
    for name in numbers:
        usual = getattr(Setting(), name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(usual), default=usual)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="40 repetitions")
    options = parser.parse_args()
    varied = {name: getattr(options, name) for name in numbers}
    settings = [Setting(groups, truths, **varied) for groups in options.groups for truths in options.truths]
    began = time.monotonic()
    rows = measure(settings, 40 if options.quick else options.repetitions, options.processes, options.seed)
    for row in rows:
        print(f"{row['groups']} {row['truths']}", file=sys.stderr)
        for key in ("bias", "coverage", "half_width"):
            print(f"  {key}: {row[key]}", file=sys.stderr)
    print(json.dumps({"settings": rows, "seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
