"""What must hold after any fault: each point complete once, with its own score and whole files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from optuna.trial import TrialState
from search_bench import LABELS, POINTS
from search_targets import predicted

from fdsearch.metrics import macro_f1
from fdsearch.search.study import RECIPE
from fdsearch.search.task import SearchTask
from fdsearch.search.trial_files import read_curve, read_oof
from fdsearch.training.job import fit_seed

if TYPE_CHECKING:
    import optuna
    from search_bench import Bench

FOLDS = 3


def score(task: SearchTask, quality: float) -> float:
    """What a trial scores whose folds nobody disturbed."""
    classes = np.empty(len(LABELS), np.int64)
    for number, fold in enumerate(task.folds):
        seed = fit_seed(task.search.random_state, 0, number)
        classes[fold.validation] = predicted(seed, LABELS, fold.validation, quality)
    return macro_f1(LABELS, classes, 2)


def check(bench: Bench, study: optuna.Study, *, kills: int) -> None:
    """Each point is complete exactly once with its own score, whole files and no checkpoint; nothing is left."""
    trials = study.get_trials()
    states = Counter(trial.state.name for trial in trials)
    assert states == {"COMPLETE": len(POINTS), **({"FAIL": states["FAIL"]} if states["FAIL"] else {})}
    assert states["FAIL"] <= kills
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert sorted(trial.params["custom_quality"] for trial in complete) == [p["custom_quality"] for p in POINTS]
    assert {trial.user_attrs[RECIPE] for trial in complete} == {"point-0", "point-1", "point-2"}
    task = bench.small_task()
    for trial in complete:
        folder = task.folder(trial.number)
        assert trial.value == score(task, trial.params["custom_quality"])
        logits = read_oof(folder, len(LABELS), 2)
        assert logits is not None
        assert trial.value == macro_f1(LABELS, logits.argmax(axis=1), 2)
        assert [(row["fold"], row["epoch"]) for row in read_curve(folder)] == [(f, e) for f in range(3) for e in (0, 1)]
    assert not list(bench.folder.glob("trials/*/*checkpoint*"))
    assert not list(bench.folder.glob("spool/*.json"))


def calls_per_fold(bench: Bench, study: optuna.Study) -> Counter[tuple[float, int]]:
    """How often each fold of each point was trained."""
    qualities = {trial.number: trial.params.get("custom_quality") for trial in study.trials}
    jobs = [call.split("-") for call in bench.calls()]
    return Counter((qualities[int(number)], int(fold)) for _, number, _, fold in jobs)


ONCE = {(point["custom_quality"], fold): 1 for point in POINTS for fold in range(FOLDS)}
