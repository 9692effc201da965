"""What an ONNX file holds, found out before onnxruntime sees it: one plain graph, no other file, no foreign operator.

`runtimes` calls this. The file is a protobuf message. To walk the few kinds that a plain graph is made of takes less
than the package `onnx` (31 MB) would bring to every box that predicts. What `_MESSAGES` does not list is refused, so a
field that a later ONNX adds cannot slip through.
"""

from __future__ import annotations

from collections.abc import Iterator

from fdsearch.errors import Fault, IntegrityError
from fdsearch.registry.manifest import RESTORE

OPERATORS = frozenset(
    {
        *("Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv", "Div"),
        *("Elu", "Equal", "Erf", "Exp", "Flatten", "Gather", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater"),
        *("HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Less"),
        *("Log", "MatMul", "Max", "MaxPool", "Mean", "Min", "Mul", "Neg", "Not", "PRelu", "Pad", "Pow", "Reciprocal"),
        *("ReduceMax", "ReduceMean", "ReduceProd", "ReduceSum", "Relu", "Reshape", "Resize", "Selu", "Shape"),
        *("Sigmoid", "Sign", "Slice", "Softmax", "Softplus", "Softsign", "Split", "Sqrt", "Squeeze", "Sub", "Sum"),
        *("Tanh", "Tile", "Transpose", "Unsqueeze", "Where", "Expand", "ReverseSequence"),
    }
)
"""What converters write for the layers of `fdsearch.layers.ALLOWED`. None of them runs a graph of its own, keeps a
state, draws random numbers, reads a file or prints."""

_DATA = ""
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {**dict.fromkeys((1, 2, 3, 4, 5, 6, 14), _DATA), 7: "graph", 8: "operator set"},
    "operator set": dict.fromkeys((1, 2), _DATA),
    "graph": {**dict.fromkeys((2, 10, 11, 12, 13), _DATA), 1: "node", 5: "tensor"},
    "node": {**dict.fromkeys((1, 2, 3, 6), _DATA), 4: "operator", 5: "attribute", 7: "domain"},
    "attribute": {**dict.fromkeys((1, 2, 3, 4, 7, 8, 9, 13, 20), _DATA), 5: "tensor", 10: "tensor"},
    "tensor": dict.fromkeys((1, 2, 4, 5, 7, 8, 9, 10, 11, 12), _DATA),
}
"""The fields of each message, by their numbers in onnx.proto, with the message or word that each holds."""

_NAMES = {
    ("model", 20): "training information",
    ("model", 25): "functions of its own",
    ("graph", 15): "sparse numbers",
    ("attribute", 6): "a graph inside a node",
    ("attribute", 11): "graphs inside a node",
    ("tensor", 13): "numbers in another file",
    ("tensor", 14): "numbers in another file",
}
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def check_onnx(content: bytes, where: str) -> None:
    """Refuse an ONNX file that could do more than compute.

    Parameters
    ----------
    content : bytes
        The whole file.
    where : str
        Names it in faults.

    Raises
    ------
    IntegrityError
        If it is no protobuf message of one plain graph: numbers in other files, graphs inside nodes, functions, an
        operator that is not in `OPERATORS` or of another domain than ONNX's.
    """
    try:
        found = sorted(set(_surprises(memoryview(content))))
    except (IndexError, ValueError) as error:
        found = [f"bytes that are no ONNX ({error})"]
    if found:
        faults = [Fault(where, got, "one plain graph of ONNX's own operators", RESTORE) for got in found[:20]]
        raise IntegrityError("the exported model is refused; nothing in it was run", faults)


def _surprises(content: memoryview) -> Iterator[str]:
    """Say in words what a plain graph does not hold."""
    waiting = [("model", content)]
    graphs = 0
    while waiting:
        kind, message = waiting.pop()
        if kind in ("operator", "domain"):
            yield from _word_surprises(kind, bytes(message))
            continue
        graphs += kind == "graph"
        for number, wire, value in _fields(message):
            inner = _MESSAGES[kind].get(number)
            if inner is None:
                yield _NAMES.get((kind, number), f"an unknown field {number} of a {kind}")
            elif inner is not _DATA:
                if wire != _LENGTH:
                    raise ValueError(f"field {number} of a {kind} is no message")
                waiting.append((inner, value))
    if graphs != 1:
        yield f"{graphs} graphs"


def _word_surprises(kind: str, word: bytes) -> Iterator[str]:
    if kind == "domain" and word not in (b"", b"ai.onnx"):
        yield f"an operator of the domain {word[:40]!r}"
    if kind == "operator" and word.decode(errors="replace") not in OPERATORS:
        yield f"the operator {word[:40]!r}"


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (number, wire type, content) of each field; raises IndexError or ValueError where it is cut off."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        start = place
        if wire == _VARINT:
            _, place = _varint(message, place)
        elif wire == _LENGTH:
            length, start = _varint(message, place)
            place = start + length
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            place += 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {wire}")
        if place > len(message):
            raise ValueError("a field that is cut off")
        yield number, wire, message[start:place]


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number of more than ten bytes")
