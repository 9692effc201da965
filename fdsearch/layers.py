"""What a model file may consist of: the names every model carries and the layer classes that may be loaded.

fdsearch needs no layer of its own: every architecture is built from Keras's, so a saved model loads wherever Keras
does. The builders (`fdsearch.models`) keep to these names; whoever opens a ``.keras`` file checks its ``config.json``
against `ALLOWED` before Keras parses it. No Keras is imported here.
"""

from __future__ import annotations

PICTURES = "pictures"
"""The input: raw uint8, shape (n, size, size, 1)."""

COLOUR = "colour"
"""Repeats the gray channel for backbones that were trained on three."""

PREPROCESSING = "preprocessing"
"""Scales gray values to what the backbone was trained on; float32."""

FEATURES = "features"
"""Pooled output of the backbone: float32, shape (n, d); has no weights of its own."""

POOLING = f"to_{FEATURES}_"
"""How the names of layers begin that lie between the backbone's maps and ``features``."""

POOLS = "pools"
"""No layer: mean, maximum and generalised mean of the maps that ``features`` are pooled from, shape (n, 3 d)."""

HEAD_DROPOUT = "head_dropout"
LOGITS = "logits"
"""The output: float32, shape (n, n_classes), no softmax."""

NETWORK = "network"
"""Of a model that answers with the mean over mirror images (`models.mirrored`): the one of the plain picture."""

VIEWS = "views"
"""Of the same: puts the mirror images together, one after the other along the batch."""

PROBABILITIES = "probabilities"
"""Of exported graphs alone, beside the logits: calibrated, float32, shape (n, n_classes)."""

EMBEDDING = "embedding"
"""Of models that are run: what frozen layers see, float32, shape (n, d); see `serving.embedding`."""

ALLOWED: dict[str, frozenset[str]] = {
    "keras": frozenset({"Sequential"}),
    "keras.layers": frozenset(
        {
            *(
                "InputLayer",
                "Activation",
                "Add",
                "Average",
                "AveragePooling2D",
                "BatchNormalization",
                "Concatenate",
                "Conv2D",
            ),
            *("Dense", "DepthwiseConv2D", "Dropout", "EinsumDense", "Flatten", "GlobalAveragePooling2D"),
            "GlobalMaxPooling2D",
            *("GroupNormalization", "LayerNormalization", "LeakyReLU", "Maximum", "MaxPooling2D", "MultiHeadAttention"),
            *("Multiply", "Permute", "PReLU", "ReLU", "Rescaling", "Reshape", "SeparableConv2D", "Softmax"),
            *("SpatialDropout2D", "Subtract", "UnitNormalization", "UpSampling2D", "ZeroPadding2D", "Cropping2D"),
        }
    ),
    # MobileNetV3 and ConvNeXt write `x + 3.0` and `inputs + x`, which Keras records as operations; mirror images,
    # the mean over them, quotients and roots have no layers.
    "keras.src.ops.numpy": frozenset({"Add", "Multiply", "Flip", "Reshape", "Mean", "Divide", "Power", "Sqrt"}),
    "keras.src.applications.convnext": frozenset({"LayerScale", "StochasticDepth"}),
}
"""Module, as ``config.json`` spells it, to the classes a model may hold. Lambda and the wrappers of foreign code are
not among them, and nothing that reads files."""
