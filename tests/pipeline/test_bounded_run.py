"""A whole run whose frozen probe is too slow: it is compared with, but it is no answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_set import study

from fdsearch import pipeline
from fdsearch.errors import ResourceError
from fdsearch.study_reader import parse_study
from fdsearch.training.latency import Architecture, Latency, keep
from fdsearch.trial import TrialConfig
from fdsearch.workspace import Workspace

pytestmark = pytest.mark.slow
N_CLASSES = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root whose machine has measured: the probe's pooling is slow, the other is fast."""
    for pooling, latency in (("avg_max", 500.0), ("avg", 5.0)):
        config = TrialConfig.from_params({"pooling": pooling, "image_size": 64})
        keep(Workspace(tmp_path).latencies, Architecture(config, N_CLASSES), Latency(latency, "keras", "here"))
    return tmp_path


def test_the_candidate_holds_the_bound(root: Path, pictures: Path) -> None:
    raw = study(pictures, search={"n_trials": 7, "max_latency_ms": 50}, selection={"top_k": 1, "n_repeats": 1})
    raw["space"]["pooling"] = {"type": "categorical", "choices": ["avg_max", "avg"]}
    document = pipeline.run(parse_study(raw, "tiles", pictures), root)
    assert document["candidate"]["params"]["pooling"] == "avg"
    assert document["baseline"]["macro_f1_mean"] is not None
    assert document["pareto"][0]["latency_ms"] == 5.0
    assert document["pareto"][0]["value"] == document["best_value"]
    assert [point["feasible"] for point in document["pareto"]] == [True, False][: len(document["pareto"])]
    assert "Score against latency" in Path(document["report"]).read_text()


def test_nothing_to_select_from_where_nothing_is_fast_enough(root: Path, pictures: Path) -> None:
    raw = study(pictures, search={"n_trials": 1, "max_latency_ms": 50})  # the frozen probe
    with pytest.raises(ResourceError) as caught:
        pipeline.run(parse_study(raw, "tiles", pictures), root)
    assert "search.max_latency_ms (50)" in caught.value.faults[0].got
