"""Latencies of exported models: what they are kept by, and that they are measured in a process of their own."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fdsearch.errors import ResourceError
from fdsearch.training import latency
from fdsearch.training.latency import Architecture, Latency, keep, known, measure
from fdsearch.training.timing import ROUNDS, RUNS, WARM_UP, median_ms
from fdsearch.trial import TrialConfig

PROBE = TrialConfig.from_params({"phases": "probe"})
TINY = TrialConfig.from_params({"backbone": "piston_cnn"})
HERE = Latency(7.0, "keras", "here")


def test_one_measurement_serves_whatever_is_equally_fast(tmp_path: Path) -> None:
    keep(tmp_path, Architecture(PROBE, 5), HERE)
    deep = {"phases": "head_tail", "epochs": 9, "weights": "random", "class_weighting": 0.3, "resize": "pad"}
    assert known(tmp_path, Architecture(TrialConfig.from_params(deep), 5)) == HERE
    plugin = tmp_path / "plugin.py"
    plugin.write_text("pass")
    others = [replace(PROBE, image_size=160), replace(PROBE, pooling="max"), replace(PROBE, custom={"custom_maps": 3})]
    others += [replace(PROBE, backbone="piston_cnn"), replace(PROBE, test_views=4)]
    architectures = [Architecture(PROBE, 6), Architecture(PROBE, 5, (plugin,))]
    for other in architectures + [Architecture(config, 5) for config in others]:
        assert known(tmp_path, other) is None


def test_a_measurement_of_this_machine_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = Architecture(PROBE, 5)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(latency, "machine", lambda: "another machine")
        keep(tmp_path, architecture, Latency(3.0, "keras", "there"))
    assert known(tmp_path, architecture) == Latency(3.0, "keras", "there"), "as on a cluster with one disk"
    keep(tmp_path, architecture, HERE)
    assert known(tmp_path, architecture) == HERE


@pytest.mark.parametrize("content", ["", "{", "[]", '{"latency_ms": 3}', '{"other": 1}'])
def test_a_damaged_file_is_no_measurement(tmp_path: Path, content: str) -> None:
    keep(tmp_path, Architecture(PROBE, 5), HERE)
    [path] = tmp_path.glob("*.json")
    path.write_text(content)
    assert known(tmp_path, Architecture(PROBE, 5)) is None


def test_the_median_is_taken_after_a_warm_up() -> None:
    calls: list[int] = []
    assert median_ms(lambda: calls.append(1)) >= 0
    assert len(calls) == WARM_UP + ROUNDS * RUNS


@pytest.mark.slow
def test_an_architecture_is_measured_once_and_elsewhere(tmp_path: Path) -> None:
    before = "tensorflow" in sys.modules
    measure(tmp_path, Architecture(TINY, 3))
    assert ("tensorflow" in sys.modules) == before
    found = known(tmp_path, Architecture(TINY, 3))
    assert found is not None
    assert (found.runtime, found.machine) == (latency.runtime(), latency.machine())
    assert found.latency_ms > 0
    [path] = tmp_path.glob("*.json")
    written = path.stat().st_mtime_ns
    measure(tmp_path, Architecture(replace(TINY, weights="random"), 3))
    assert path.stat().st_mtime_ns == written


@pytest.mark.slow
def test_what_cannot_be_built_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        measure(tmp_path, Architecture(replace(TINY, backbone="no_such_network"), 3))
    [fault] = caught.value.faults
    assert fault.where == "no_such_network"
    assert "no_such_network" in fault.got or "architecture" in fault.got
    assert known(tmp_path, Architecture(replace(TINY, backbone="no_such_network"), 3)) is None
