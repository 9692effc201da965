"""What each worker is given of the machine."""

from __future__ import annotations

import pytest

from fdsearch.errors import ConfigError
from fdsearch.execution.gpus import Gpu
from fdsearch.execution.slots import DEVICE_MEMORY, Slot, deal, memory_limit_mb, threads_per_worker, worker_environment

A, B = Gpu("0", "GPU-a", 20_000, 20_000), Gpu("1", "GPU-b", 40_000, 1_000)


@pytest.mark.parametrize(
    ("n_workers", "gpus", "expected"),
    [
        (2, [], [("cpu 0", None), ("cpu 1", None)]),
        (1, [A, B], [("gpu 0", 18_000), ("gpu 1", 36_000)]),  # one worker, wherever there is room
        (2, [A, B], [("gpu 0", 18_000), ("gpu 1", 36_000)]),
        (4, [A], [("gpu 0", 4_500)] * 4),
        (3, [A, B], [("gpu 0", 9_000), ("gpu 1", 18_000)] * 2),
        (1, [Gpu("MIG-1", "MIG-1")], [("gpu MIG-1", None)]),
    ],
)
def test_gpus_are_dealt_in_turn_and_shared_equally(n_workers, gpus, expected):
    assert [(slot.place, slot.share_mb) for slot in deal(n_workers, gpus)] == expected


def test_a_slice_of_a_gpu_is_not_shared():
    slices = [Gpu("MIG-1", "MIG-1"), Gpu("MIG-2", "MIG-2")]
    assert [slot.place for slot in deal(2, slices)] == ["gpu MIG-1", "gpu MIG-2"]
    with pytest.raises(ConfigError, match="at most 2"):
        deal(3, slices)


def test_a_worker_sees_its_gpu_alone():
    environment = {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert worker_environment(Slot(0, B, 9_000), 2, environment)["CUDA_VISIBLE_DEVICES"] == "GPU-b"
    assert worker_environment(Slot(0), 2, environment)["CUDA_VISIBLE_DEVICES"] == ""


def test_a_share_and_growth_exclude_each_other():
    shared = worker_environment(Slot(0, A, 9_000), 2, {"TF_FORCE_GPU_ALLOW_GROWTH": "true"})
    assert (shared["TF_FORCE_GPU_ALLOW_GROWTH"], shared[DEVICE_MEMORY]) == ("false", "8500")
    unknown = worker_environment(Slot(0, Gpu("0", "0")), 2, {})
    assert unknown["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert DEVICE_MEMORY not in unknown


def test_what_the_user_set_is_kept_but_for_the_thread_limits():
    own = worker_environment(Slot(0), 2, {"TF_CPP_MIN_LOG_LEVEL": "0", "OMP_NUM_THREADS": "9", "HOME": "/home/a"})
    assert (own["TF_CPP_MIN_LOG_LEVEL"], own["OMP_NUM_THREADS"], own["HOME"]) == ("0", "2", "/home/a")


def test_the_machine_is_divided():
    assert threads_per_worker(10_000) == 1
    assert memory_limit_mb(4) <= memory_limit_mb(1) / 4
    assert memory_limit_mb(1) > 100
