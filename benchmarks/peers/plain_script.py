"""The peer of `versus_plain`: a search as a competent user writes it with Optuna and Keras, without fdsearch.

    python -m peers.plain_script TASK.json

Pictures are decoded once and kept in memory, `tf.data` gathers and prefetches batches of them, frozen layers do not
train, batch normalisation stays in inference mode, and `model.fit` does the rest; every fit builds its model after
`clear_session`, and the validation part is predicted once, at its end. Trials are scored by the pooled macro F1 over
the folds, and `MedianPruner` may end one between folds where the task asks for pruning.

The model, its weights and the ranges of the space are fdsearch's, so that both sides train the same thing; so are a
fold's first head and the order of its batches, which are shuffled here with fdsearch's seeds: with orders of its own,
macro F1 differed by .005 to .02 between two runs of either side, and nothing could be said about .01. `peers.sides`
writes the task; every finished trial becomes a line of JSON in the task's `out`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import tensorflow as tf
from PIL import Image, ImageOps
from sklearn.metrics import f1_score
from sklearn.utils.class_weight import compute_class_weight

from fdsearch.models.builders import build_model
from fdsearch.space_reader import parse_space
from fdsearch.training.batches import epoch_batches
from fdsearch.trial import TrialConfig

BLOCKS = ("stem_", *(f"block{number}_" for number in range(16)), "top_")
"""How the layers of EfficientNet-Lite0 begin, from the pictures to the head."""


def load_pictures(paths: list[str], size: int, resize: str) -> np.ndarray:
    """Gray pictures as uint8, shape (n, size, size, 1)."""
    pictures = np.empty((len(paths), size, size, 1), np.uint8)
    for number, path in enumerate(paths):
        image = Image.open(path).convert("L")
        if resize == "pad":
            gray = int(np.median(np.asarray(image)))
            image = ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR, color=gray)
        pictures[number, :, :, 0] = image.resize((size, size), Image.Resampling.BILINEAR)
    return pictures


def read_config(params: dict[str, Any]) -> TrialConfig:
    """A point of the space; fdsearch's probe is a head here, and a head starts from random weights."""
    if params["phases"] == "probe":
        params = {**params, "phases": "head", "optimizer": "adamw", "weight_decay": 0.01}
    return TrialConfig.from_params({**params, "head_init": "random"})


def open_layers(model: keras.Model, share: float) -> None:
    """Train the head and the last blocks; the rest, and all batch normalisation, is frozen."""
    n_opened = max(1, round(share * len(BLOCKS))) if share > 0 else 0
    opened = BLOCKS[len(BLOCKS) - n_opened :]
    for layer in model.layers:
        frozen = isinstance(layer, keras.layers.BatchNormalization) or not layer.name.startswith(opened)
        layer.trainable = layer.name == "logits" or not frozen


def weigh_classes(labels: np.ndarray, exponent: float) -> dict[int, float]:
    """Inverse frequencies to a power, 1 on average over the pictures."""
    present = np.unique(labels)
    weights = compute_class_weight("balanced", classes=present, y=labels) ** exponent
    weights /= weights[np.searchsorted(present, labels)].mean()
    return dict(zip(present.tolist(), weights.tolist(), strict=True))


def make_model(config: TrialConfig, n_classes: int, seed: int) -> keras.Model:
    """The pretrained backbone with a new head."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build_model(config, n_classes)
    head = model.get_layer("logits")
    head.kernel.assign(keras.initializers.GlorotUniform(seed=seed)(head.kernel.shape))
    return model


def fit(
    config: TrialConfig, pictures: tf.Tensor, labels: np.ndarray, n_classes: int, fold: dict[str, Any], epochs: int
) -> np.ndarray:
    """Train on one fold, for at most so many epochs; the classes predicted for its validation part."""
    model = make_model(config, n_classes, fold["seed"])
    rows, targets = np.array(fold["train"]), tf.constant(keras.utils.to_categorical(labels, n_classes))
    done = 0
    for phase in config.phases:
        planned = range(done, min(done + phase.epochs, epochs))
        if not planned:
            break
        done = planned.stop
        shuffled = [epoch_batches(rows, config.batch_size, fold["seed"], epoch) for epoch in planned]
        batches = (
            tf.data.Dataset.from_tensor_slices(tf.ragged.constant([batch for epoch in shuffled for batch in epoch]))
            .map(lambda batch: (tf.gather(pictures, batch), tf.gather(targets, batch)), tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )
        open_layers(model, phase.unfreeze)
        rate: Any = phase.learning_rate
        if config.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, phase.epochs * len(shuffled[0]))
        model.compile(
            optimizer=keras.optimizers.AdamW(rate, weight_decay=config.weight_decay),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.label_smoothing),
            metrics=["accuracy"],
        )
        plateau = [keras.callbacks.ReduceLROnPlateau("loss", factor=0.3, patience=2)]
        model.fit(
            batches,
            epochs=len(planned),
            steps_per_epoch=len(shuffled[0]),
            class_weight=weigh_classes(labels[rows], config.class_weighting),
            callbacks=plateau if config.schedule == "plateau" else [],
            verbose=0,
        )
    return model.predict(tf.gather(pictures, fold["validation"]), verbose=0).argmax(axis=1)


class Objective:
    """Pooled macro F1 over the folds; keeps the pictures of each size."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.space = parse_space(task["space"])
        self.labels = np.array(task["labels"])
        self.pictures: dict[tuple[int, str], tf.Tensor] = {}

    def of_size(self, size: int, resize: str) -> tf.Tensor:
        """The pictures, decoded at the first call."""
        if (size, resize) not in self.pictures:
            self.pictures[size, resize] = tf.constant(load_pictures(self.task["paths"], size, resize))
        return self.pictures[size, resize]

    def __call__(self, trial: optuna.Trial) -> float:
        config = read_config(self.space.sample(trial))
        pictures = self.of_size(config.image_size, config.resize)
        rows, predicted, score = [], [], 0.0
        for number, fold in enumerate(self.task["folds"]):
            rows += fold["validation"]
            predicted += fit(config, pictures, self.labels, self.task["n_classes"], fold, config.epochs).tolist()
            score = f1_score(self.labels[rows], predicted, average="macro", zero_division=0.0)
            trial.report(score, number)
            if fold is not self.task["folds"][-1] and trial.should_prune():
                raise optuna.TrialPruned
        return float(score)


def record(out: Path, trial: Any) -> None:
    """Append a finished trial to the results."""
    row = {
        "name": trial.user_attrs.get("name"),
        "value": trial.value if trial.state.name == "COMPLETE" else None,
        "seconds": trial.duration.total_seconds(),
        "finished": time.time(),
    }
    with out.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text())
    pruner = optuna.pruners.MedianPruner() if task["prunes"] else optuna.pruners.NopPruner()
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=task["random_state"]), pruner=pruner
    )
    for point in task["points"]:
        study.enqueue_trial(point["params"], user_attrs={"name": point["name"]})
    study.optimize(
        Objective(task),
        n_trials=len(task["points"]) or None,  # without points, until the process is ended
        callbacks=[lambda study, trial: record(Path(task["out"]), trial)],
    )


if __name__ == "__main__":
    main()
