"""One model out of several of one configuration: its logits are the mean of theirs.

`pipeline.agreement` ships it where the final fit and the models of the folds, whose predictions were measured, do not
agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fdsearch.layers import LOGITS, PICTURES
from fdsearch.models.mirrored import mirrored, n_views, plain

if TYPE_CHECKING:
    import keras


def average(models: Sequence[keras.Model]) -> keras.Model:
    """Join models of one configuration into one that answers with the mean of their logits.

    Where they differ in nothing but the head, as after a probe, the mean of the heads does the same: the logits are
    linear in it, and one network is run instead of several. Models that look at mirror images too are joined inside:
    the result takes the mean over the views of the mean over the networks.

    Parameters
    ----------
    models : sequence of keras.Model
        Builders' models, or loaded ones, with the same layers and the same test views. They become part of the result:
        the first one's head may be changed.

    Returns
    -------
    keras.Model
        From raw uint8 (n, size, size, 1) to float32 logits (n, n_classes), made of layers that
        `fdsearch.layers.ALLOWED` holds.

    Raises
    ------
    ValueError
        If there is no model, or they look at different numbers of views.
    """
    if not models:
        raise ValueError("an ensemble needs at least one model")
    if len({n_views(model) for model in models}) > 1:
        raise ValueError("the models of an ensemble look at one number of views")
    if len(models) == 1:
        return models[0]
    networks = [plain(model) for model in models]
    joined = _with_mean_head(networks) if _differ_in_the_head_alone(networks) else _side_by_side(networks)
    return mirrored(joined, n_views(models[0]))


def n_networks(model: keras.Model) -> int:
    """How many networks each view of a picture runs through: 1 where heads were merged, else one for each model."""
    import keras

    return sum(isinstance(layer, keras.Model) for layer in plain(model).layers) or 1


def _side_by_side(models: Sequence[keras.Model]) -> keras.Model:
    import keras

    pictures = keras.Input(models[0].inputs[0].shape[1:], dtype="uint8", name=PICTURES)
    # All have the architecture's name, and a model's layers need different ones.
    members = [keras.Model(m.inputs[0], m.outputs[0], name=f"fold_{number}") for number, m in enumerate(models)]
    logits = keras.layers.Average(dtype="float32", name=LOGITS)([member(pictures) for member in members])
    return keras.Model(pictures, logits, name="ensemble")


def _differ_in_the_head_alone(models: Sequence[keras.Model]) -> bool:
    first = _body(models[0])
    return all(len(first) == len(other) and all(map(np.array_equal, first, other)) for other in map(_body, models[1:]))


def _body(model: keras.Model) -> list[NDArray[np.float32]]:
    """All weights but the head's."""
    head = {id(variable) for variable in model.get_layer(LOGITS).weights}
    return [np.asarray(variable.numpy()) for variable in model.weights if id(variable) not in head]


def _with_mean_head(models: Sequence[keras.Model]) -> keras.Model:
    heads = [model.get_layer(LOGITS).get_weights() for model in models]
    mean = [np.mean(arrays, axis=0, dtype=np.float64).astype(np.float32) for arrays in zip(*heads, strict=True)]
    models[0].get_layer(LOGITS).set_weights(mean)
    return models[0]
