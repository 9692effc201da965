"""A model that could not be trained or served is told so, all faults at once."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from fdsearch.models.contract import contract_faults

SHAPE, N_CLASSES = (8, 8, 1), 3


def model_with(
    *,
    dtype="uint8",
    shape=SHAPE,
    pictures="pictures",
    preprocessing="preprocessing",
    features=None,
    head_dropout="head_dropout",
    head=None,
    extra=None,
):
    """The smallest sound model, but for what is given."""
    inputs = keras.Input(shape, dtype=dtype, name=pictures)
    x = layers.Rescaling(1 / 255, name=preprocessing)(inputs)
    x = layers.Conv2D(4, 3, name="conv")(x)
    x = extra(x) if extra else x
    x = (features or layers.GlobalAveragePooling2D(name="features"))(x)
    x = layers.Dropout(0.1, name=head_dropout)(x)
    return keras.Model(inputs, (head or layers.Dense(N_CLASSES, name="logits"))(x))


def around(layer):
    """The small model, with `layer` fed by the pictures instead of the layer before it."""
    inputs = keras.Input(SHAPE, dtype="uint8", name="pictures")
    x = layers.Rescaling(1 / 255, name="preprocessing")(inputs)
    features = layers.GlobalAveragePooling2D(name="features")(x)
    dropped = layers.Dropout(0.1, name="head_dropout")(features)
    bypass = layers.Flatten()(inputs if layer == "preprocessing" else x)
    bypass = layers.Dense(1)(bypass)
    return keras.Model(inputs, layers.Dense(N_CLASSES, name="logits")(layers.Add()([dropped, bypass])))


def test_a_sound_model_has_no_faults():
    assert contract_faults(model_with(), SHAPE, N_CLASSES, "builder x") == []


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (lambda: model_with(dtype="float32"), "builder x, input dtype: got 'float32'; expected 'uint8'"),
        (lambda: model_with(shape=(8, 8, 3)), "builder x, input shape: got (8, 8, 3); expected (8, 8, 1)"),
        (lambda: model_with(pictures="image"), "builder x, input name: got 'image'; expected 'pictures'"),
        (lambda: model_with(preprocessing="scale"), "builder x: got no layer named preprocessing"),
        (lambda: model_with(head_dropout="drop"), "builder x: got no layer named head_dropout"),
        (lambda: model_with(head=layers.Dense(4, name="logits")), "builder x, output shape: got (4,); expected (3,)"),
        (lambda: model_with(head=layers.Dense(3, name="scores")), "builder x, output layer: got 'scores'"),
        (lambda: model_with(head=layers.Dense(3, "softmax", name="logits")), "builder x, layer logits: got Dense"),
        (
            lambda: model_with(head=layers.Dense(3, dtype="float16", name="logits")),
            "builder x, output dtype: got 'float16'; expected 'float32'",
        ),
        (
            lambda: model_with(features=keras.Sequential([layers.Flatten(), layers.Dense(2)], name="features")),
            "builder x, layer features: got output (None, 2), 2 weights",
        ),
        (lambda: model_with(extra=layers.Lambda(lambda x: x)), "builder x, layer lambda"),
        (lambda: model_with(extra=keras.Sequential([layers.Lambda(lambda x: x)])), "builder x, layer lambda"),
        (lambda: around("preprocessing"), "builder x, layer preprocessing: got a path around it"),
        (lambda: around("features"), "builder x, layer features: got a path around it"),
        (lambda: keras.Model(*[keras.Input((2,))] * 2), "builder x, input name"),
        (lambda: "a model", "builder x: got 'a model'; expected a functional keras.Model"),
    ],
)
def test_what_breaks_the_contract_is_named(broken, fault):
    faults = contract_faults(broken(), SHAPE, N_CLASSES, "builder x")
    assert any(str(found).startswith(fault) for found in faults), [str(found) for found in faults]


def test_all_faults_come_at_once():
    broken = model_with(dtype="float32", pictures="image", head=layers.Dense(4, "softmax", name="logits"))
    assert len(contract_faults(broken, SHAPE, N_CLASSES, "builder x")) == 4
