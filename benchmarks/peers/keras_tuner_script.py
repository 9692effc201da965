"""The peer of `versus_keras_tuner`: KerasTuner's Hyperband over the same space, pictures and folds.

    python -m peers.keras_tuner_script TASK.json

A trial is scored by the pooled macro F1 over the folds, so `run_trial` is overridden, as KerasTuner's documentation
suggests for cross-validation: each fold trains anew, for the epochs that Hyperband grants. Training is that of
`peers.plain_script`. Lasts until the process is ended.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from peers.plain_script import Objective, fit, read_config
from sklearn.metrics import f1_score

MAX_EPOCHS = 12
"""The most that the space allows."""
ENDLESS = 1000
"""Iterations of Hyperband."""


class Suggesting:
    """KerasTuner's hyperparameters, asked as Optuna's trials are asked."""

    def __init__(self, parameters: keras_tuner.HyperParameters) -> None:
        self.parameters = parameters

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.parameters.Choice(name, list(choices))

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        return self.parameters.Float(name, low, high, step=step, sampling="log" if log else "linear")

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        return self.parameters.Int(name, low, high, step=step, sampling="log" if log else "linear")


class CrossValidated(keras_tuner.Hyperband):  # type: ignore[misc]
    """Hyperband whose trials are scored over folds.

    Parameters
    ----------
    task : dict
        As `peers.sides` writes it.
    **options
        Of Hyperband.
    """

    def __init__(self, task: dict[str, Any], **options: Any) -> None:
        self.objective_of = Objective(task)
        parameters = keras_tuner.HyperParameters()
        for distribution in self.objective_of.space.distributions:
            distribution.suggest(Suggesting(parameters))  # the whole space is known from the first trial on
        super().__init__(hyperparameters=parameters, **options)

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> dict[str, float]:
        of, began = self.objective_of, time.monotonic()
        task = of.task
        config = read_config(of.space.sample(Suggesting(trial.hyperparameters)))
        epochs = int(trial.hyperparameters.values.get("tuner/epochs", MAX_EPOCHS))
        pictures = of.of_size(config.image_size, config.resize)
        rows = np.concatenate([fold["validation"] for fold in task["folds"]])
        found = [fit(config, pictures, of.labels, task["n_classes"], fold, epochs) for fold in task["folds"]]
        score = float(f1_score(of.labels[rows], np.concatenate(found), average="macro", zero_division=0.0))
        row = {"name": None, "value": score, "seconds": time.monotonic() - began, "finished": time.time()}
        with Path(task["out"]).open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        return {"macro_f1": score}


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory() as folder:
        tuner = CrossValidated(
            task,
            objective=keras_tuner.Objective("macro_f1", "max"),
            max_epochs=MAX_EPOCHS,
            hyperband_iterations=ENDLESS,
            seed=task["random_state"],
            directory=folder,
        )
        tuner.search(verbose=0)


if __name__ == "__main__":
    main()
