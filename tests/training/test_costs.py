from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.training import costs
from fdsearch.training.costs import Costs, calibrated

POSITIVE = st.floats(1e3, 1e13)


def test_a_machine_is_measured_once(tmp_path, monkeypatch):
    first = calibrated(tmp_path)
    assert min(first.macs_per_s, first.written_per_s, first.read_per_s) > 0
    monkeypatch.setattr(costs, "_macs_per_s", lambda: pytest.fail("measured again"))
    assert calibrated(tmp_path) == first


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"macs_per_s": 1}', '{"macs_per_s": "fast"}'])
def test_a_torn_file_is_measured_again(tmp_path, torn):
    calibrated(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(torn)
    assert calibrated(tmp_path).macs_per_s > 0
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@given(POSITIVE, POSITIVE, POSITIVE, st.integers(1, 10**10), st.integers(1, 10**6), st.integers(2, 1000))
def test_more_reads_never_make_storing_worse(macs_per_s, written, read, macs, size, n_reads):
    speeds = Costs(macs_per_s, written, read)
    assert not speeds.storing_pays(macs, (size,), 1)
    assert speeds.storing_pays(macs, (size,), n_reads + 1) or not speeds.storing_pays(macs, (size,), n_reads)
