"""Hostile LiteRT files are refused before the interpreter sees them."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import pytest

from fdsearch.errors import IntegrityError
from fdsearch.serving.contract import Contract
from fdsearch.serving.litert_file import check_litert
from fdsearch.serving.runtimes import runtime_from_bytes


def flex(model: Any) -> None:
    """An operator that runs TensorFlow's kernels, those that read and write files among them."""
    code = copy(model.operatorCodes[0])
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"FlexReadFile"
    model.operatorCodes.append(code)


def renamed(model: Any) -> None:
    model.operatorCodes[0].customCode = b"FlexReadFile"


def loop(model: Any) -> None:
    code = copy(model.operatorCodes[0])
    code.builtinCode, code.deprecatedBuiltinCode = 119, 119  # WHILE
    model.operatorCodes.append(code)


def unknown(model: Any) -> None:
    model.operatorCodes[0].builtinCode = 4000


def second_graph(model: Any) -> None:
    model.subgraphs.append(model.subgraphs[0])


def no_signature(model: Any) -> None:
    model.signatureDefs = []


def outside(model: Any) -> None:
    model.buffers[1].offset, model.buffers[1].size = 4096, 10**9


def bomb(model: Any) -> None:
    """14 GB of numbers that are computed, not stored."""
    model.subgraphs[0].tensors[-1].shape = np.array([1_157_627_905, 3], np.int32)


def negative(model: Any) -> None:
    model.subgraphs[0].tensors[-1].shape = np.array([-7, 3], np.int32)


def state(model: Any) -> None:
    model.subgraphs[0].tensors[0].isVariable = True


def own_options(model: Any) -> None:
    model.subgraphs[0].operators[0].customOptions = np.frombuffer(b"anything", np.uint8)


HOSTILE: dict[Callable[[Any], None], str] = {
    flex: "FlexReadFile",
    renamed: "FlexReadFile",
    loop: "WHILE",
    unknown: "4000",
    second_graph: "2 graphs",
    no_signature: "0 signatures",
    outside: "outside the flatbuffer",
    bomb: "1157627905",
    negative: "-7",
    state: "keeps a state",
    own_options: "options of its own",
}


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_what_is_no_plain_graph_is_refused(change: Callable[[Any], None], exported: dict[str, bytes]) -> None:
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(exported["litert"]))
    change(model)
    with pytest.raises(IntegrityError, match=HOSTILE[change]) as caught:
        check_litert(bytes(flatbuffer_utils.convert_object_to_bytearray(model)), "model.tflite")
    assert caught.value.exit_code == 5


def test_what_is_no_litert_is_refused(exported: dict[str, bytes]) -> None:
    for content in (b"", b"no flatbuffer", b"\xff" * 64, exported["litert"][:100], b"\x1c\0\0\0TFL3" + b"\xff" * 64):
        with pytest.raises(IntegrityError):
            check_litert(content, "model.tflite")


def test_damage_is_never_anything_but_a_refusal(exported: dict[str, bytes], contract: Contract) -> None:
    """Bytes that were sealed damaged: the interpreter checks the structure again, and no process dies."""
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        changed = bytearray(exported["litert"])
        for place in rng.integers(0, len(changed), 3):
            changed[place] = int(rng.integers(0, 256))
        try:
            runtime_from_bytes("litert", bytes(changed), contract, "model.tflite")
        except IntegrityError:
            refused += 1
    assert refused
