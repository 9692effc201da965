"""What a LiteRT file holds, found out before the interpreter sees it: one plain graph of built-in operators.

`runtimes` calls this. The file is a flatbuffer; the interpreter's own package brings the classes that read it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fdsearch.errors import Fault, IntegrityError
from fdsearch.registry.manifest import RESTORE

OPERATORS = frozenset(
    {
        *("ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "BROADCAST_TO", "CAST", "CONCATENATION", "CONV_2D"),
        *("DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV", "ELU", "EQUAL", "EXP", "EXPAND_DIMS", "FULLY_CONNECTED"),
        *("GATHER", "GELU", "GREATER", "HARD_SWISH", "LEAKY_RELU", "LESS", "LOG", "LOGISTIC", "MAXIMUM"),
        *("MAX_POOL_2D", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "PACK", "PAD", "PADV2", "POW", "PRELU"),
        *("REDUCE_MAX", "REDUCE_PROD", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR"),
        *("RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT", "SELECT_V2", "SHAPE", "SIGN", "SLICE", "SOFTMAX", "SPLIT"),
        *("SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE"),
        *("REVERSE_V2", "TRANSPOSE", "UNPACK"),
    }
)
"""What converters write for the layers of `fdsearch.layers.ALLOWED`. None of them runs a graph of its own, keeps a
state, draws random numbers, reads a file or prints."""

MAX_ITEMS = 100_000
"""Largest number of operators, tensors or buffers."""

MAX_ELEMENTS = 1 << 28
"""Largest number of elements of one tensor; a gibibyte of float32."""

_IDENTIFIER = b"TFL3"


def check_litert(content: bytes, where: str) -> None:
    """Refuse a LiteRT file that could do more than compute.

    Parameters
    ----------
    content : bytes
        The whole file.
    where : str
        Names it in faults.

    Raises
    ------
    IntegrityError
        If it is no flatbuffer of one plain graph: several graphs, numbers outside the flatbuffer, custom or Flex
        operators (which run TensorFlow), or any other that is not in `OPERATORS`.
    """
    try:
        found = sorted(set(_surprises(content)))
    except Exception as error:  # the reader of flatbuffers does not say what it raises on damaged ones
        found = [f"bytes that are no LiteRT ({type(error).__name__}: {error})"[:200]]
    if found:
        faults = [Fault(where, got, "one plain graph of built-in operators", RESTORE) for got in found[:20]]
        raise IntegrityError("the exported model is refused; nothing in it was run", faults)


def _surprises(content: bytes) -> Iterator[str]:
    """Say in words what a plain graph does not hold."""
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != _IDENTIFIER:
        raise ValueError("no flatbuffer of LiteRT")
    model = schema.Model.GetRootAs(content, 0)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    for index in range(_few(model.OperatorCodesLength())):
        code = model.OperatorCodes(index)
        name = names.get(code.BuiltinCode(), str(code.BuiltinCode()))
        if name not in OPERATORS or code.CustomCode() is not None:
            yield f"the operator {(code.CustomCode() or name.encode())[:40]!r}"
    if model.SubgraphsLength() != 1 or model.SignatureDefsLength() != 1:
        yield f"{model.SubgraphsLength()} graphs with {model.SignatureDefsLength()} signatures"
    if model.ExternalBufferGroupsLength() or model.ExternalBuffersLength():
        yield "numbers in another file"
    for index in range(_few(model.BuffersLength())):
        buffer = model.Buffers(index)
        # 0 and 1 are what the writers of files without such numbers leave there.
        if buffer.Offset() > 1 or buffer.Size() > 1:
            yield "numbers outside the flatbuffer"
    if model.SubgraphsLength():
        yield from _graph_surprises(model.Subgraphs(0))


def _graph_surprises(graph: Any) -> Iterator[str]:
    for index in range(_few(graph.TensorsLength())):
        tensor = graph.Tensors(index)
        if tensor.IsVariable():
            yield "a tensor that keeps a state"
        shape = [tensor.Shape(axis) for axis in range(_few(tensor.ShapeLength()))]
        if math.prod(shape) > MAX_ELEMENTS or min(shape, default=0) < 0:
            yield f"a tensor of the shape {shape[:8]}"
    for index in range(_few(graph.OperatorsLength())):
        operator = graph.Operators(index)
        if operator.CustomOptionsLength() or operator.LargeCustomOptionsOffset():
            yield "an operator with options of its own"


def _few(count: int) -> int:
    if count > MAX_ITEMS:
        raise ValueError(f"{count} items in one list, above {MAX_ITEMS}")
    return count
