"""Hostile ONNX files are refused before onnxruntime sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from serving.conftest import SIZE

from fdsearch.errors import IntegrityError
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract
from fdsearch.serving.onnx_file import check_onnx
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.runtimes import runtime_from_bytes


def elsewhere(model: Any) -> None:
    """Numbers in a file outside the folder (CVE-2026-27489 and its kin)."""
    numbers = model.graph.initializer[0]
    numbers.ClearField("raw_data")
    numbers.data_location = TensorProto.EXTERNAL
    numbers.external_data.add(key="location", value="../../../../etc/hostname")


def elsewhere_in_a_constant(model: Any) -> None:
    numbers = TensorProto(data_type=TensorProto.FLOAT, dims=[1], name="c", data_location=TensorProto.EXTERNAL)
    numbers.external_data.add(key="location", value="/etc/hostname")
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=numbers))


def branch(model: Any) -> None:
    inner = helper.make_graph([helper.make_node("Identity", ["logits"], ["b"])], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["b"], then_branch=inner, else_branch=inner))


def hidden_in_a_list_of_graphs(model: Any) -> None:
    inner = helper.make_graph([helper.make_node("Identity", ["logits"], ["b"])], "inner", [], [])
    model.graph.node.append(helper.make_node("Identity", ["logits"], ["b"], more=[inner]))


def foreign(model: Any) -> None:
    model.graph.node.append(helper.make_node("Relu", ["logits"], ["b"], domain="com.evil"))


def function(model: Any) -> None:
    node = helper.make_node("Identity", ["a"], ["b"])
    model.functions.append(helper.make_function("", "Relu", ["a"], ["b"], [node], []))


def training(model: Any) -> None:
    model.training_info.add().algorithm.name = "evil"


def random(model: Any) -> None:
    model.graph.node.append(helper.make_node("RandomNormal", [], ["b"], shape=[2]))


def bomb(model: Any) -> None:
    model.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["b"]))


def sparse(model: Any) -> None:
    values = helper.make_tensor("values", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("indices", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [10**12]))


HOSTILE: dict[Callable[[Any], None], str] = {
    elsewhere: "another file",
    elsewhere_in_a_constant: "another file",
    branch: "a graph inside a node",
    hidden_in_a_list_of_graphs: "graphs inside a node",
    foreign: "com.evil",
    function: "functions of its own",
    training: "training information",
    random: "RandomNormal",
    bomb: "ConstantOfShape",
    sparse: "sparse numbers",
}


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_what_is_no_plain_graph_is_refused(change: Callable[[Any], None], exported: dict[str, bytes]) -> None:
    model = onnx.load_from_string(exported["onnx"])
    change(model)
    with pytest.raises(IntegrityError, match=HOSTILE[change]) as caught:
        check_onnx(model.SerializeToString(), "model.onnx")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no protobuf",
        b"\x3a\xff\xff\xff\xff\x7f",  # a graph of 34 GB
        b"\xff" * 20,  # a number without an end
        b"\x3a\x02\x0b\x0c",  # a group, which protobuf gave up
        b"\x38\x01",  # a graph that is a number
        b"\x3a\x00\x3a\x00",  # two graphs, which a reader would join
    ],
)
def test_what_is_no_onnx_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        check_onnx(content, "model.onnx")


def test_a_graph_that_cannot_run_is_refused(contract: Contract, exported: dict[str, bytes]) -> None:
    model = onnx.load_from_string(exported["onnx"])
    model.graph.node.append(helper.make_node("Relu", ["nowhere"], ["b"]))
    with pytest.raises(IntegrityError, match="cannot be read"):
        runtime_from_bytes("onnx", model.SerializeToString(), contract, "model.onnx")


def test_content_that_looks_like_another_format_is_read_as_onnx(contract: Contract, exported: dict[str, bytes]) -> None:
    """onnxruntime takes what has these four letters at this place for its own format, which nothing here looks into."""
    disguised = b"\x12\x06\x00\x00ORTM" + exported["onnx"]  # the producer's name, which the later one replaces
    assert disguised[4:8] == b"ORTM"
    pictures = np.zeros((1, SIZE, SIZE, 1), np.uint8)
    answers = [runtime_from_bytes("onnx", each, contract, "x").run(pictures) for each in (disguised, exported["onnx"])]
    np.testing.assert_array_equal(answers[0].logits, answers[1].logits)


def test_an_answer_that_is_not_one_for_each_picture_is_refused(
    register: Callable[..., ModelVersion], contract: Contract, exported: dict[str, bytes]
) -> None:
    model = onnx.load_from_string(exported["onnx"])
    del model.graph.node[:], model.graph.initializer[:]
    for output in model.graph.output:
        number = helper.make_tensor(output.name, TensorProto.FLOAT, [1, 3], [0.0] * 3)
        model.graph.node.append(helper.make_node("Constant", [], [output.name], value=number))
    runtime = runtime_from_bytes("onnx", model.SerializeToString(), contract, "model.onnx")
    predictor = Predictor(register(), contract, runtime)
    predictor.run(np.zeros((1, SIZE, SIZE, 1), np.uint8))
    with pytest.raises(IntegrityError, match="3 numbers for each picture"):
        predictor.run(np.zeros((2, SIZE, SIZE, 1), np.uint8))


def test_a_file_outside_is_not_read_at_all(
    register: Callable[..., ModelVersion], exported: dict[str, bytes], contract: Contract, tmp_path: Path
) -> None:
    """The whole way, for catalogue case 49: such a version can be registered, and what it points at is not opened."""
    model = onnx.load_from_string(exported["onnx"])
    elsewhere(model)
    version = register(files={"model.onnx": model.SerializeToString()})
    with pytest.raises(IntegrityError, match="nothing in it was run"):
        runtime_from_bytes("onnx", version.read("model.onnx"), contract, "model.onnx")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_passes_is_what_onnx_itself_reads_as_plain(exported: dict[str, bytes], data: st.DataObject) -> None:
    """Whatever is changed: refused, or free of everything hostile in the eyes of the reference parser too."""
    sound = exported["onnx"]
    place = data.draw(st.integers(0, len(sound) - 1))
    changed = sound[:place] + data.draw(st.binary(max_size=6)) + sound[place + data.draw(st.integers(0, 6)) :]
    try:
        check_onnx(changed, "model.onnx")
    except IntegrityError:
        return
    try:
        model = onnx.load_from_string(changed)
    except Exception:  # the parser of protobuf refuses what the check let through: nothing is run either
        return
    assert not model.functions and not model.training_info and not model.graph.sparse_initializer
    for node in model.graph.node:
        assert node.domain in ("", "ai.onnx")
        assert not any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    for tensor in model.graph.initializer:
        assert not tensor.external_data and tensor.data_location == TensorProto.DEFAULT
