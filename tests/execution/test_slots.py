"""What a worker's environment says."""

from __future__ import annotations

import pytest

from fdsearch.execution.slots import memory_limit_mb, threads_per_worker, visible_gpus, worker_environment


@pytest.mark.parametrize(
    ("slot", "visible", "expected"), [(0, "0", "0"), (1, "0", "0"), (1, "3,5", "5"), (2, "3,5", "3"), (0, "", "")]
)
def test_gpus_are_dealt_in_turn(slot, visible, expected):
    own = worker_environment(slot, 2, {"CUDA_VISIBLE_DEVICES": visible})
    assert own["CUDA_VISIBLE_DEVICES"] == expected


def test_the_drivers_gpus_are_counted_where_the_environment_is_silent(tmp_path):
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / bus).mkdir()
    assert visible_gpus({}, tmp_path) == ["0", "1"]
    assert visible_gpus({}, tmp_path / "absent") == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == []


def test_what_the_user_set_is_kept_but_for_the_thread_limits():
    own = worker_environment(0, 2, {"TF_CPP_MIN_LOG_LEVEL": "0", "OMP_NUM_THREADS": "9", "HOME": "/home/a"})
    assert (own["TF_CPP_MIN_LOG_LEVEL"], own["OMP_NUM_THREADS"], own["HOME"]) == ("0", "2", "/home/a")


def test_the_machine_is_divided():
    assert threads_per_worker(10_000) == 1
    assert memory_limit_mb(4) <= memory_limit_mb(1) / 4
    assert memory_limit_mb(1) > 100
