"""A Keras model with its calibration folded in as one graph, written as ONNX or LiteRT.

Every exported graph takes raw uint8 pictures and answers ``logits``, as the model does, calibrated ``probabilities``
and, where the model has a second output, ``embedding``. `pipeline.export_process` calls this in a process of its own:
converters are large, print, and may crash.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fdsearch.layers import EMBEDDING, LOGITS, PICTURES, PROBABILITIES

if TYPE_CHECKING:
    import keras

OPSET = 17
"""Version of ONNX's operators in every export: onnxruntime reads it since 1.12 (2022), and so does what it feeds."""

LARGE = 2**20
"""Numbers in a matrix that is kept apart from the converter to ONNX."""

_BATCH = "n"
_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Calibrated:
    """A model that is going to be exported, and its calibration.

    Parameters
    ----------
    model : keras.Model
        From raw uint8 (n, size, size, 1) to float32 logits (n, n_classes), and to an embedding (n, d) where it has one.
    temperature, bias : array-like, shape (n_classes,) or scalar
        As in `fdsearch.decide.probabilities`.
    """

    model: keras.Model
    temperature: ArrayLike
    bias: ArrayLike

    def graph(self, apart: Mapping[str, int] | None = None) -> Any:
        """Return a tf.function from pictures to a dict of ``logits``, ``probabilities`` and, if there is one,
        ``embedding``; n is not fixed.

        Parameters
        ----------
        apart : mapping of str to int, optional
            Weights that the graph takes as arguments, by name, instead of holding them: their places among the model's
            trainable variables.
        """
        import tensorflow as tf

        model, places = self.model, dict(apart or {})
        divisor, shift = np.asarray(self.temperature, np.float32), np.asarray(self.bias, np.float32)
        fixed = [variable.value for variable in model.non_trainable_variables]

        def answer(pictures: Any, weights: Mapping[str, Any]) -> dict[str, Any]:
            trained = [variable.value for variable in model.trainable_variables]
            for name, place in places.items():
                trained[place] = weights[name]
            answered, _ = model.stateless_call(trained, fixed, pictures, training=False)
            logits, *embedding = answered if isinstance(answered, list) else [answered]
            told = {LOGITS: logits, PROBABILITIES: tf.nn.softmax(logits / divisor + shift)}
            return told | dict(zip([EMBEDDING], embedding, strict=False))

        taken = {
            name: tf.TensorSpec(model.trainable_variables[place].shape, tf.float32, name=name)
            for name, place in places.items()
        }
        pictures = tf.TensorSpec(model.inputs[0].shape, tf.uint8, name=PICTURES)
        return tf.function(answer, input_signature=[pictures, taken], autograph=False)


def to_onnx(calibrated: Calibrated) -> bytes:
    """Convert a model to ONNX of opset `OPSET`, all numbers inside.

    Returns
    -------
    bytes
        The file; only operators of ONNX's own domain.

    Raises
    ------
    Exception
        Whatever the converter raises at a layer that it does not know.
    """
    import onnx
    import tf2onnx

    # The converter holds some thirty copies of each constant at once: 20 GB for a network of 360 MB.
    variables = calibrated.model.trainable_variables
    large = {f"dense_{place}": place for place, variable in enumerate(variables) if _is_large(variable)}
    graph = calibrated.graph(large)
    with _inlined():
        model, _ = tf2onnx.convert.from_function(
            graph,
            input_signature=graph.input_signature,
            opset=OPSET,
            custom_op_handlers={"Erfc": (_complement_of_erf, [])},
        )
    arguments = {value.name: value.name.partition(":")[0] for value in model.graph.input}
    for name in [name for name, plain in arguments.items() if plain in large]:
        weights = variables[large[arguments[name]]].numpy()
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
    pictures = [value for value in model.graph.input if value.name == PICTURES]
    del model.graph.input[:]
    model.graph.input.extend(pictures)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH  # the converter invents a new name for each model
    del model.graph.value_info[:]  # so that its names go, too
    own = [each.version for each in model.opset_import if not each.domain]
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid("", version) for version in own)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def to_litert(calibrated: Calibrated, *, float16: bool = False) -> bytes:
    """Convert a model to LiteRT, built-in operators only.

    Parameters
    ----------
    calibrated : Calibrated
    float16 : bool
        Store the weights as float16, in half the room; a processor computes in float32 all the same.

    Returns
    -------
    bytes
        The file, with the signature ``serving_default``.

    Raises
    ------
    Exception
        Whatever the converter raises at a layer that it does not know.
    """
    import tensorflow as tf

    graph = calibrated.graph()
    concrete = graph.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], graph)
    if float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    # The graph's outputs come in the order in which TensorFlow flattens a dict.
    return _signed(converter.convert(), sorted(concrete.structured_outputs))


@contextmanager
def _inlined() -> Iterator[None]:
    """Trace functions inside a function as its own: Keras calls XLA for grouped convolutions, which ONNX has itself."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _complement_of_erf(graph: Any, node: Any, name: str, _: Any) -> None:
    """Write ``1 - erf(x)``, which GELU becomes and the converter does not know."""
    [x], [output] = node.input, node.output
    dtype, shape = graph.get_dtype(output), graph.get_shape(output)
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", [x], dtypes=[dtype], shapes=[shape])
    one = graph.make_const(f"{name}_one", np.array(1.0, np.float32))
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[output], dtypes=[dtype], shapes=[shape])


def _is_large(variable: Any) -> bool:
    """Whether a weight is a large matrix of a dense layer; kernels of convolutions are transposed by the converter."""
    return len(variable.shape) == 2 and math.prod(variable.shape) >= LARGE


def _signed(content: bytes, outputs: list[str]) -> bytes:
    """Name a LiteRT graph's input and outputs.

    The converter names them only for what comes from a SavedModel, a way that took four times as long (8.1 s instead of
    2.1 s for both files of EfficientNet-Lite0). It hands its own result through the same two calls.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    [graph] = model.subgraphs

    def named(name: str, index: int) -> Any:
        graph.tensors[index].name = name.encode()
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        return entry

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = _SIGNATURE.encode(), 0
    signature.inputs = [named(PICTURES, graph.inputs[0])]
    signature.outputs = [named(name, index) for name, index in zip(outputs, graph.outputs, strict=True)]
    model.signatureDefs = [signature]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
