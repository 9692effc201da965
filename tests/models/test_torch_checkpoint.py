"""Legacy checkpoints are read to the number, and nothing in them is ever run."""

from __future__ import annotations

import io
import pickle
import struct
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fdsearch.errors import IntegrityError
from fdsearch.models import torch_checkpoint
from fdsearch.models.torch_checkpoint import read_checkpoint

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class FloatStorage:
    """Stands for torch.FloatStorage in the pickles that are written here."""


class Tensor:
    """Pickles as a torch tensor does: by a call that names a storage, an offset, a shape and strides."""

    def __init__(self, key, count, offset, shape, strides):
        self.storage = ("storage", FloatStorage, key, "cpu", count, None)
        self.view = (offset, shape, strides)

    def __reduce__(self):
        return _rebuild_tensor_v2, (Storage(self.storage), *self.view, False, OrderedDict())


class Storage:
    def __init__(self, pid):
        self.pid = pid


def _rebuild_tensor_v2(*_):
    raise AssertionError("the reader called what the file named")


class Writer(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None


@pytest.fixture(autouse=True)
def torch_names(monkeypatch):
    """Gives the classes above the names they have in torch, as far as pickle looks."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    torch.FloatStorage, utils._rebuild_tensor_v2 = FloatStorage, _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    monkeypatch.setattr(FloatStorage, "__module__", "torch")
    monkeypatch.setattr(_rebuild_tensor_v2, "__module__", "torch._utils")


def encode(state, storages, *, magic=MAGIC, count=None):
    """Write a checkpoint as torch did before 1.6."""
    stream = io.BytesIO()
    for value in (magic, PROTOCOL, {"little_endian": True}, state, list(storages)):
        Writer(stream, protocol=2).dump(value)
    for numbers in storages.values():
        stream.write(struct.pack("<q", len(numbers) if count is None else count))
        stream.write(np.asarray(numbers, "<f4").tobytes())
    return stream.getvalue()


@pytest.fixture
def read(tmp_path):
    def read_bytes(content):
        path = tmp_path / "checkpoint.pth"
        path.write_bytes(content)
        return read_checkpoint(path)

    return read_bytes


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 4), max_size=4),
    order=st.randoms(use_true_random=False),
    offset=st.integers(0, 5),
)
def test_transposed_views_come_back_as_they_were(read, shape, order, offset):
    numbers = np.arange(offset + int(np.prod(shape, dtype=int)), dtype=np.float32)
    axes = list(range(len(shape)))
    order.shuffle(axes)
    view = numbers[offset:].reshape(shape).transpose(axes)
    strides = tuple(step // 4 for step in view.strides)
    tensors = read(encode({"weight": Tensor("0", len(numbers), offset, view.shape, strides)}, {"0": numbers}))
    np.testing.assert_array_equal(tensors["weight"], view)
    assert tensors["weight"].flags["C_CONTIGUOUS"]


def test_tensors_may_share_a_storage_and_keep_their_order(read):
    numbers = np.arange(6, dtype=np.float32)
    state = OrderedDict(b=Tensor("7", 6, 0, (2, 3), (3, 1)), a=Tensor("7", 6, 4, (2,), (1,)))
    tensors = read(encode(state, {"7": numbers}))
    assert list(tensors) == ["b", "a"]
    np.testing.assert_array_equal(tensors["a"], [4, 5])


class Call:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [print, exec, getattr, io.open])
def test_every_other_name_is_refused_and_not_called(read, function, tmp_path, capsys):
    with pytest.raises(IntegrityError, match="the name "):
        read(encode({"weight": Call(function, "1", "w")}, {}))
    assert capsys.readouterr().out == ""


GOOD = ((2, 3), (3, 1))


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "fault"),
    [
        (1, *GOOD, "reaches number 6 of a storage of 6"),
        (0, (2, 3), (4, 1), "reaches number 6 of a storage of 6"),
        (-1, *GOOD, "offset -1"),
        (0, (2, 3), (3, -1), "strides"),
        (0, (2, 3), (3,), "strides"),
        (0, (2**40,), (0,), "1099511627776 numbers in a storage of 6"),
        (0, ("2", 3), (3, 1), "shape"),
    ],
)
def test_views_outside_their_storage_are_refused(read, offset, shape, strides, fault):
    with pytest.raises(IntegrityError, match=fault):
        read(encode({"weight": Tensor("0", 6, offset, shape, strides)}, {"0": np.zeros(6)}))


@pytest.mark.parametrize("count", [-1, 5, 7, 2**62])
def test_a_storage_of_another_length_than_announced_is_refused(read, count):
    with pytest.raises(IntegrityError, match="announced"):
        read(encode({"weight": Tensor("0", 6, 0, *GOOD)}, {"0": np.zeros(6)}, count=count))


def test_every_truncation_is_refused(read):
    content = encode({"weight": Tensor("0", 6, 0, *GOOD)}, {"0": np.zeros(6)})
    for length in range(0, len(content), 7):
        with pytest.raises(IntegrityError, match="cannot be read"):
            read(content[:length])


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 the zip of PyTorch 1.6",
        b"",
        b"\x80\x02.",
        encode([], {}),
        encode({"a": 1}, {}),
        encode({}, {}, magic=1),
    ],
    ids=["zip", "empty", "stop", "a list", "a number", "another magic"],
)
def test_other_formats_are_refused(read, content):
    with pytest.raises(IntegrityError, match="cannot be read"):
        read(content)


def test_a_file_over_the_cap_is_not_read(read, monkeypatch):
    monkeypatch.setattr(torch_checkpoint, "MAX_BYTES", 10)
    with pytest.raises(IntegrityError, match="too large"):
        read(b"x" * 11)
