"""What a builder's model must be, so that it can be trained in parts, saved, sealed and served.

`builders.build_model` checks every model it hands out, a plugin's too: all faults at once, before an hour of training
and not after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdsearch import layers as names
from fdsearch.errors import Fault
from fdsearch.models.graph import cut_points

if TYPE_CHECKING:
    import keras

_ALLOWED_CLASSES = frozenset[str]().union(*names.ALLOWED.values())
_REQUIRED = (names.PREPROCESSING, names.FEATURES, names.HEAD_DROPOUT, names.LOGITS)
_FIX = "build the two ends with fdsearch.models.frame"


def contract_faults(model: keras.Model, input_shape: tuple[int, int, int], n_classes: int, where: str) -> list[Fault]:
    """List what keeps a model from being a builder's model.

    Parameters
    ----------
    model : keras.Model
    input_shape : (size, size, 1)
    n_classes : int
    where : str
        The builder, for the faults.

    Returns
    -------
    list of Fault
        Empty for a sound model.
    """
    import keras

    if not isinstance(model, keras.Model) or not (len(getattr(model, "inputs", ())) == len(model.outputs) == 1):
        return [Fault(where, repr(model)[:80], "a functional keras.Model with one input and one output")]
    (pictures,), (logits,) = model.inputs, model.outputs
    ends = (
        ("input name", pictures.name, names.PICTURES),
        ("input dtype", pictures.dtype, "uint8"),
        ("input shape", tuple(pictures.shape[1:]), tuple(input_shape)),
        ("output layer", model.output_names[0], names.LOGITS),
        ("output dtype", logits.dtype, "float32"),
        ("output shape", tuple(logits.shape[1:]), (n_classes,)),
    )
    faults = [Fault(f"{where}, {part}", repr(got), repr(wanted), _FIX) for part, got, wanted in ends if got != wanted]
    missing = [name for name in _REQUIRED if name not in {layer.name for layer in model.layers}]
    faults += [Fault(where, f"no layer named {name}", "one", _FIX) for name in missing]
    if not missing:
        faults += _head_faults(model, where)
    return faults + _foreign_layers(model, where)


def _head_faults(model: keras.Model, where: str) -> list[Fault]:
    import keras

    faults = []
    features, head = model.get_layer(names.FEATURES), model.get_layer(names.LOGITS)
    if len(features.output.shape) != 2 or features.weights:
        got = f"output {tuple(features.output.shape)}, {len(features.weights)} weights"
        faults.append(Fault(f"{where}, layer features", got, "output (n, d) and no weights"))
    if not isinstance(head, keras.layers.Dense) or head.activation is not keras.activations.linear:
        faults.append(Fault(f"{where}, layer logits", type(head).__name__, "a Dense layer without activation"))
    cuts = {cut.name for cut in cut_points(model)}
    bypassed = [name for name in (names.PREPROCESSING, names.FEATURES) if name not in cuts]
    expected = "every path from the pictures to the logits through it"
    return faults + [Fault(f"{where}, layer {name}", "a path around it", expected) for name in bypassed]


def _foreign_layers(model: keras.Model, where: str) -> list[Fault]:
    """Layers that no saved model may hold; a nested model's are looked at too."""
    fix = "use layers of fdsearch.layers.ALLOWED: the registry refuses models with others"
    faults = []
    waiting = list(model.layers)
    while waiting:
        layer = waiting.pop()
        if type(layer).__name__ not in _ALLOWED_CLASSES or not type(layer).__module__.startswith("keras."):
            faults.append(
                Fault(f"{where}, layer {layer.name}", type(layer).__name__, "a layer that may be loaded", fix)
            )
        waiting += getattr(layer, "layers", ())
    return faults
