"""What pruning would have cost and saved on recorded searches, replayed in many orders.

    FDSEARCH_DATA=... fdsearch search STUDY.yaml --root ROOT          # with `search: {sampler: random, pruner: none}`
    FDSEARCH_DATA=... python benchmarks/pruning.py ROOT/runs/NAME ...

One replay is one study: 15, 20 or 25 of the recorded trials in a random order, one after the other, over the recorded
folds in a random order, pruned by Optuna's own pruners over an in-memory study. Every trial may be pruned, the enqueued
ones too. All rules see the same replays. The last line is one JSON object: per run and rule the share of replays in
which no trial with the best final score got to its end, the mean score lost by that, and the shares of epochs, fits and
seconds that were saved.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import BasePruner, MedianPruner, PercentilePruner
from optuna.trial import TrialState, create_trial

from fdsearch.config import SearchSpec
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.metrics import macro_f1
from fdsearch.search import study as names
from fdsearch.search.pruning import Smoothed, loses_between_folds, make_pruner
from fdsearch.study_reader import load_study

SIZES = (15, 20, 25)
HORIZON = 1000
"""Steps of the epochs come before it, those of the folds after."""


@dataclass(frozen=True)
class Recording:
    """One unpruned trial.

    Parameters
    ----------
    curves : tuple of array, shapes (epochs,)
        Validation macro F1 of every epoch of each fold.
    clocks : tuple of array, shapes (1 + epochs,)
        Seconds of each fold's start and epochs, one after the other; together the trial's seconds.
    pooled : dict of frozenset of int to float
        Macro F1 of the pooled predictions of every set of folds.
    """

    curves: tuple[NDArray[np.float64], ...]
    clocks: tuple[NDArray[np.float64], ...]
    pooled: dict[frozenset[int], float]

    def path(self, order: Sequence[int]) -> list[float]:
        """Pooled scores after each fold, were the folds in this order."""
        return [self.pooled[frozenset(order[:k])] for k in range(1, len(order) + 1)]


@dataclass(frozen=True)
class Rule:
    """A way to prune: `pruner` on smoothed epochs, and `loses` between folds (None: the pruner there too)."""

    pruner: BasePruner
    smooth: Callable[[], Callable[[float], float]]
    loses: Callable[[list[float], list[list[float]]], bool] | None


def rules() -> dict[str, Rule]:
    """The shipped rules and those that they are compared with."""
    found: dict[str, Rule] = {}
    for name in ("median", "percentile"):
        spec = SearchSpec(pruner=name)

        def loses(path: list[float], finished: list[list[float]], spec: SearchSpec = spec) -> bool:
            return loses_between_folds(spec, path, finished)

        found[f"shipped {name}"] = Rule(make_pruner(spec, HORIZON), lambda: Smoothed().add, loses)
    for name, kept in (("median", 0.50), ("percentile", 0.75)):
        pruner = PercentilePruner(100 * kept, n_startup_trials=4, n_warmup_steps=2, n_min_trials=4)

        def below(path: list[float], finished: list[list[float]], kept: float = kept) -> bool:
            return len(path) > 1 and len(finished) >= 4 and worse_than_quantile(path, finished, 1 - kept)

        found[f"raw values, quantile between folds: {name}"] = Rule(pruner, lambda: float, below)
    found["Optuna's MedianPruner"] = Rule(MedianPruner(), lambda: float, None)
    smoothings = {"raw": lambda: float, "mean of 2": mean_of_two, "exponential mean": exponential_mean}
    for name, smooth in {**smoothings, "shipped smoothing": lambda: Smoothed().add}.items():
        pruner = make_pruner(SearchSpec(pruner="percentile"), HORIZON)
        found[f"first fold only, {name}"] = Rule(pruner, smooth, lambda path, finished: False)
    return found


def mean_of_two() -> Callable[[float], float]:
    """Mean of the last two values."""
    last: list[float] = []

    def add(value: float) -> float:
        last[:] = [*last[-1:], value]
        return float(np.mean(last))

    return add


def exponential_mean() -> Callable[[float], float]:
    """Half the newest value, half what was before."""
    last: list[float] = []

    def add(value: float) -> float:
        last[:] = [(value + last[0]) / 2 if last else value]
        return last[0]

    return add


def worse_than_quantile(path: list[float], finished: list[list[float]], share: float) -> bool:
    return path[-1] < float(np.quantile([other[len(path) - 1] for other in finished], share))


def replay(trials: Sequence[Recording], order: Sequence[int], rule: Rule) -> tuple[float, NDArray[np.float64]]:
    """Search once; return the best final score and the epochs, fits and seconds that it took."""
    study = optuna.create_study(direction="maximize", pruner=rule.pruner)
    spent, finished = np.zeros(3), list[list[float]]()
    for trial in trials:
        reports: dict[int, float] = {}
        path = trial.path(order)
        epochs = survives_first_fold(trial, order[0], rule, study, reports)
        if epochs is not None:
            spent += epochs, 1, trial.clocks[order[0]][: epochs + 1].sum()
            continue
        for k, fold in enumerate(order, start=1):
            spent += len(trial.curves[fold]), 1, trial.clocks[fold].sum()
            reports[HORIZON + k - 1] = path[k - 1]
            if k == len(order):
                finished.append(path)
                study.add_trial(create_trial(value=path[-1], intermediate_values=reports))
            elif rule.loses(path[:k], finished) if rule.loses else prunes(rule, study, reports):
                break
    return max((path[-1] for path in finished), default=0.0), spent


def survives_first_fold(
    trial: Recording, fold: int, rule: Rule, study: optuna.Study, reports: dict[int, float]
) -> int | None:
    """None, or the number of epochs after which the trial was pruned."""
    smooth = rule.smooth()
    for epoch, value in enumerate(trial.curves[fold]):
        reports[epoch] = smooth(float(value))
        if prunes(rule, study, reports):
            return epoch + 1
    return None


def prunes(rule: Rule, study: optuna.Study, reports: dict[int, float]) -> bool:
    return rule.pruner.prune(study, create_trial(state=TrialState.RUNNING, intermediate_values=reports))


def measure(trials: Sequence[Recording], rules: dict[str, Rule], n_replays: int, seed: int) -> dict[str, Any]:
    """Replay a run under every rule."""
    chosen = list(studies(trials, n_replays, seed))
    return {"trials": len(trials), "rules": {name: compare(chosen, rule) for name, rule in rules.items()}}


def studies(trials: Sequence[Recording], n: int, seed: int) -> Iterator[tuple[list[Recording], list[int]]]:
    rng = np.random.default_rng(seed)
    n_folds = len(trials[0].curves)
    for i in range(n):
        size = min(SIZES[i % len(SIZES)], len(trials))
        picked = rng.permutation(len(trials))[:size]
        yield [trials[j] for j in picked], rng.permutation(n_folds).tolist()


def compare(chosen: Sequence[tuple[list[Recording], list[int]]], rule: Rule) -> dict[str, float]:
    """Mean outcome of a rule over replays, against the same studies without pruning."""
    regrets, saved = [], []
    for trials, order in chosen:
        best, spent = replay(trials, order, rule)
        regrets.append(max(trial.path(order)[-1] for trial in trials) - best)
        saved.append(1 - spent / cost(trials))
    regret, (epochs, fits, seconds) = np.array(regrets), np.mean(saved, axis=0)
    return {
        "winner_lost": round(float((regret > 1e-12).mean()), 4),
        "mean_regret": round(float(regret.mean()), 5),
        "worst_regret": round(float(regret.max()), 4),
        "epochs_saved": round(float(epochs), 3),
        "fits_saved": round(float(fits), 3),
        "seconds_saved": round(float(seconds), 3),
    }


def cost(trials: Sequence[Recording]) -> NDArray[np.float64]:
    """Epochs, fits and seconds of trials that are not pruned; a study of nothing but probes counts one epoch."""
    total = np.zeros(3)
    for trial in trials:
        total += sum(map(len, trial.curves)), len(trial.curves), sum(clock.sum() for clock in trial.clocks)
    return np.maximum(total, (1, 1, 0))


def read_run(folder: Path, scratch: Path) -> list[Recording]:
    """Read the complete trials of a run folder; labels come from the study's data.

    Raises
    ------
    SystemExit
        If the search pruned, or a trial's predictions do not give its recorded score: the data is another one.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder.resolve()}/study.db")
    spec = load_study(folder / "study.yaml")
    if spec.search.pruner != "none":
        raise SystemExit(f"{folder}: record with `pruner: none`")
    dataset = load_dataset(spec.data, PixelStore(scratch))
    found = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.COMPLETE and names.COPY_OF not in trial.user_attrs:
            epochs, seconds = trial.user_attrs[names.EPOCHS], float(trial.user_attrs[names.SECONDS])
            files = folder / "trials" / f"{trial.number:04d}"
            pooled = pooled_scores(files, dataset.labels, len(dataset.classes))
            if abs(pooled[frozenset(range(len(epochs)))] - trial.values[0]) > 1e-9:
                raise SystemExit(f"{folder}: trial {trial.number} has another score: these are not its labels")
            found.append(Recording(*read_curves(files, len(epochs), seconds), pooled))
    return found


def pooled_scores(files: Path, labels: NDArray[np.int64], n_classes: int) -> dict[frozenset[int], float]:
    with np.load(files / "oof.npz") as stored:
        rows, fold, predicted = stored["rows"], stored["fold"], stored["logits"].argmax(axis=1)
    n_folds = int(fold.max()) + 1
    chosen = (combo for k in range(1, n_folds + 1) for combo in combinations(range(n_folds), k))
    members = ((combo, np.isin(fold, combo)) for combo in chosen)
    return {frozenset(combo): macro_f1(labels[rows[own]], predicted[own], n_classes) for combo, own in members}


def read_curves(files: Path, n_folds: int, seconds: float) -> tuple[tuple[NDArray[np.float64], ...], ...]:
    """Curves and clocks of a trial; what no epoch took, starts above all, is spread evenly over the folds."""
    curve = files / "curve.jsonl"
    rows = [json.loads(line) for line in curve.read_text().splitlines()] if curve.exists() else []
    last = {(row["fold"], row["epoch"]): row for row in rows}
    folds = [[last[key] for key in sorted(last) if key[0] == fold] for fold in range(n_folds)]
    start = max(0.0, seconds - sum(row["seconds"] for row in last.values())) / n_folds
    curves = tuple(np.array([row["val_macro_f1"] for row in fold]) for fold in folds)
    return curves, tuple(np.array([start, *(row["seconds"] for row in fold)]) for fold in folds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN_FOLDER")
    parser.add_argument("--replays", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = {}
    for run in options.runs:
        with tempfile.TemporaryDirectory() as scratch:
            trials = read_run(run, Path(scratch))
        result[run.name] = measure(trials, rules(), options.replays, options.seed)
    means: dict[str, dict[str, float]] = {}
    for name in rules():
        tables = [run["rules"][name] for run in result.values()]
        means[name] = {key: round(float(np.mean([table[key] for table in tables])), 4) for key in tables[0]}
    print(json.dumps({"replays": options.replays, **result, "mean of the runs": means}))


if __name__ == "__main__":
    main()
