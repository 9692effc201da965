"""Test views in a model's graph: the same network looks at a picture and at its mirror images; the mean logits answer.

The network is one layer, `fdsearch.layers.NETWORK`, that is called once on all views at once, so its weights exist once
in every file. Trained and cut is always the network itself (`plain`); `training.trainer` closes it with its mirror
images when it is saved, and `ensemble` joins networks before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdsearch.layers import LOGITS, NETWORK, PICTURES, VIEWS

if TYPE_CHECKING:
    import keras

MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))
"""Axes of pictures (n, h, w, 1) along which each view is mirrored: the first so many are those of `test_views`."""


def mirrored(model: keras.Model, test_views: int) -> keras.Model:
    """Let a model answer with the mean of its logits over mirror images.

    Parameters
    ----------
    model : keras.Model
        From raw uint8 (n, size, size, 1) to float32 logits (n, n_classes); its weights become the result's.
    test_views : {1, 2, 4}
        1 is the picture alone, and `model` itself comes back; 2 adds the image mirrored from left to right; 4 those
        mirrored from top to bottom and both ways.

    Returns
    -------
    keras.Model
        From and to the same shapes, made of what `fdsearch.layers.ALLOWED` holds.

    References
    ----------
    Krizhevsky, Sutskever, Hinton (2012), ImageNet classification with deep convolutional neural networks, section 4.1:
    predictions averaged over crops and their horizontal reflections.
    """
    if test_views == 1:
        return model
    import keras
    from keras import ops

    from fdsearch.models.topology import name_stably

    pictures = keras.Input(model.inputs[0].shape[1:], dtype="uint8", name=PICTURES)
    views = [ops.flip(pictures, axes) if axes else pictures for axes in MIRRORS[:test_views]]
    network = keras.Model(model.inputs[0], model.outputs[0], name=NETWORK)
    # Along the batch: one call of the network, and an exported graph no larger than that of one view.
    logits = network(keras.layers.Concatenate(axis=0, name=VIEWS)(views))
    mean = ops.mean(ops.reshape(logits, (test_views, -1, logits.shape[-1])), axis=0)
    # Keras's operations have no part in a dtype policy, and an output has the name that all models give it.
    answer = keras.layers.Activation("linear", dtype="float32", name=LOGITS)(mean)
    whole = keras.Model(pictures, answer, name="mirrored")
    name_stably(whole)
    return whole


def plain(model: keras.Model) -> keras.Model:
    """The network inside a model: without mirror images, from a picture to its logits; sharing its weights."""
    return model if n_views(model) == 1 else model.get_layer(NETWORK)


def n_views(model: keras.Model) -> int:
    """Over how many views of a picture a model takes the mean.

    Examples
    --------
    >>> from fdsearch.models.builders import build_model
    >>> from fdsearch.trial import TrialConfig
    >>> model = build_model(TrialConfig.from_params({"backbone": "piston_cnn", "image_size": 32}), 3)
    >>> n_views(model), n_views(mirrored(model, 4)), plain(mirrored(model, 2)).count_params() == model.count_params()
    (1, 4, True)
    """
    if NETWORK not in {layer.name for layer in model.layers}:
        return 1
    return len(model.get_layer(VIEWS).input)
