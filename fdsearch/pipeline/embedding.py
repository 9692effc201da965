"""Runs pictures through the frozen layers of a model; `export_process` does so in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.models.embedding import embedding_cuts
from fdsearch.serving.embedding import network, with_embedding
from fdsearch.training.passes import chunks, overlapping
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

NOTHING_FROZEN = (
    "every layer of this configuration is trained, so its fits have nothing in common to compare pictures by"
)

Wanted = Sequence[tuple[str, NDArray[np.int64] | None]]


def embed(model: keras.Model, config: TrialConfig, wanted: Wanted) -> dict[str, Any]:
    """The fields of `fdsearch.pipeline.exporter.Embedded` for some pictures.

    Parameters
    ----------
    model : keras.Model
        The saved one.
    config : TrialConfig
        That it was trained by.
    wanted : sequence of (str, ndarray of int64 or None)
        ``.npy`` of uint8, shape (n, size, size, 1), and which of its rows.
    """
    cuts = embedding_cuts(network(model), config)
    model.trainable = True  # looking for the cuts has set the flags of a phase
    if not cuts:
        return {"why": NOTHING_FROZEN}
    import keras

    joined = with_embedding(model, cuts)
    frozen = keras.Model(joined.inputs[0], joined.outputs[1])
    return {"cuts": cuts, "arrays": tuple(_run(frozen, Path(path), rows) for path, rows in wanted)}


def _run(model: keras.Model, path: Path, rows: NDArray[np.int64] | None) -> NDArray[np.float32]:
    import tensorflow as tf

    pixels = np.load(path, mmap_mode="r")
    rows = np.arange(len(pixels)) if rows is None else rows
    shape = pixels.shape[1:]
    forward = tf.function(
        lambda pictures: model(pictures, training=False), input_signature=[tf.TensorSpec((None, *shape), tf.uint8)]
    )
    parts = overlapping(lambda chunk: forward(pixels[chunk]).numpy(), chunks(rows, shape))
    return np.concatenate([np.empty((0, int(model.outputs[0].shape[-1])), np.float32), *parts])
