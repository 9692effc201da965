"""A run folder as a search leaves it, without training: real Optuna, real files, names that attack a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import optuna

from fdsearch.search import study as names

STUDY = "tiles@0123456789ab"
HOSTILE = (
    "<script>document.title='owned'</script>",
    "![x](https://example.org/p.png) **bold** | www.example.org $x$ `code` <b>b</b>\nnext",
)
RECIPE = "<img src=x onerror=\"document.title='owned'\">"
N = 24


def write_run(root: Path, n_trials: int = 4) -> optuna.Study:
    """Write ``ROOT/runs/tiles``: complete trials with curves and predictions, one failed, one running."""
    folder = root / "runs" / "tiles"
    folder.mkdir(parents=True)
    study = optuna.create_study(storage=f"sqlite:///{folder}/study.db", study_name=STUDY, direction="maximize")
    study.set_user_attr(names.NAME, "tiles")
    labels = np.arange(N) % len(HOSTILE)
    trials = folder / "trials"
    trials.mkdir()
    (trials / "labels.json").write_text(json.dumps({"classes": HOSTILE, "labels": labels.tolist()}))
    for _ in range(n_trials):
        write_trial(study, trials, labels)
    failed = study.ask()
    failed.set_user_attr(names.FAILURE, "exception")
    failed.set_user_attr(names.MESSAGE, "<script>document.title='owned'</script>")
    study.tell(failed, state=optuna.trial.TrialState.FAIL)
    study.ask()
    return study


def write_trial(study: optuna.Study, trials: Path, labels: np.ndarray) -> None:
    """Add one complete trial of two folds."""
    trial = study.ask()
    rate = trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
    trial.set_user_attr(names.RECIPE, RECIPE)
    trial.set_user_attr(names.SECONDS, 12.5)
    folder = trials / f"{trial.number:04d}"
    folder.mkdir()
    rows = [
        {"fold": fold, "epoch": epoch, "loss": 1 / (epoch + 1), "val_loss": 1.0, "val_macro_f1": 0.1 * epoch}
        for fold in range(2)
        for epoch in range(4)
    ]
    (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"fold": 1, "ep')
    logits = np.eye(len(HOSTILE), dtype=np.float32)[np.where(np.arange(N) < 18, labels, 0)]
    np.savez(folder / "oof.npz", rows=np.arange(N), fold=np.arange(N) % 2, logits=logits)
    study.tell(trial, 0.5 + rate)
