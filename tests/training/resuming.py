"""Runs fits in a process of its own, with op determinism on (it cannot be switched off again): see test_resume.py.

``python resuming.py FOLDER RUNS``: RUNS is a JSON list of fits done one after the other, each an object with `case`
and optionally `checkpoint` (a file's name), `stop` (the epoch whose report stops the fit) and `kill` (the epoch whose
report kills this process; a checkpoint is then written after every epoch). Prints their results as one JSON list.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
from small_pictures import pictures

SMALL = {"backbone": "piston_cnn", "image_size": 32, "weights": "random", "dropout": 0.4, "phases": "full"}
LITE0 = {"backbone": "efficientnet_lite0", "image_size": 64, "dropout": 0.4, "pooling": "avg_max"}
CASES = {
    "full": {**SMALL, "epochs": 8, "schedule": "plateau", "augmentation": 0.6, "learning_rate": 3e-3},
    "full sgd": {
        **SMALL,
        "epochs": 4,
        "optimizer": "sgd",
        "schedule": "cosine",
        "warmup": 0.3,
        "subsample": "balanced",
    },
    "best before": {**SMALL, "epochs": 12, "learning_rate": 3e-3, "early_stopping": "loss", "patience": 6},
    "ema": {**SMALL, "epochs": 4, "weight_average": "ema", "mixup": 0.4, "layer_decay": 0.5, "l2_sp": 0.1},
    "swa": {
        **SMALL,
        "epochs": 8,
        "weight_average": "swa",
        "loss": "ldam",
        "deferred_weighting": 0.6,
        "sampling": "balanced",
        "early_stopping": "loss",
        "patience": 8,
    },
    "head": {**LITE0, "phases": "head", "epochs": 5},
    "head_tail": {
        **LITE0,
        "phases": "head_tail",
        "unfreeze": 0.1,
        "epochs": 6,
        "schedule": "plateau",
        "augmentation": 0.6,
        "batch_norm": "trained",
        "early_stopping": "both",
        "patience": 3,
    },
}


def main(folder: Path, runs: list[dict]) -> None:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    from fdsearch.training import network

    results = []
    for run in runs:
        network.forget()  # as in a new process
        results.append(fitted(folder, **run))
    print(json.dumps(results))


def fitted(folder, case, checkpoint=None, stop=None, kill=None) -> dict:
    from fdsearch.training import checkpoint as module
    from fdsearch.training.trainer import fit

    if kill is not None:
        module.INTERVAL, module.MAX_SHARE = 0.0, float("inf")
    reported = []

    def report(epoch, row) -> bool:
        reported.append(epoch)
        if epoch == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return epoch != stop

    result = fit(make_job(folder, case, folder / checkpoint if checkpoint else None), report)
    return {
        "status": result.status,
        "curve": result.curve,
        "logits": result.logits.tolist(),
        "epochs": result.epochs,
        "phase_epochs": result.phase_epochs,
        "learning_rates": result.learning_rates,
        "reported": reported,
    }


def make_job(folder, case, checkpoint):
    from fdsearch.training.job import JobMaker
    from fdsearch.trial import TrialConfig

    config = TrialConfig.from_params({"batch_size": 8, **CASES[case]})
    values, labels = pictures(config.image_size)
    path = folder / f"{config.image_size}.npy"
    if not path.exists():
        np.save(path, values)
    sizes = {(config.image_size, "stretch"): path}
    maker = JobMaker(labels, np.arange(len(labels)), 3, sizes, "generated", folder / "prefix")
    rows = np.arange(len(labels))
    # Every monitored label is wrong: the more is learnt, the worse they look, so that plateaus and best epochs come.
    labels[20:24] = (labels[20:24] + 1) % 3
    return maker.job("job", config, rows[:20], rows[24:], seed=5, monitor=rows[20:24], checkpoint=checkpoint)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
