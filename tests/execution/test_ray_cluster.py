"""What is refused before any actor is started, and what each worker declares."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fdsearch.errors import ConfigError, ResourceError
from fdsearch.execution.machine import Machine, open_executor
from fdsearch.execution.ray_cluster import Share, declare, held_by

BOXES = [{"CPU": 16.0, "GPU": 4.0}, {"CPU": 64.0}]


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ResourceError, match=r"pip install 'fdsearch\[cluster\]'"):
        open_executor(Machine(executor="ray"), tmp_path / "log.txt")


def test_gpus_of_a_cluster_cannot_be_named(tmp_path):
    with pytest.raises(ConfigError, match="Ray chooses them"):
        open_executor(Machine(gpus=("0",), executor="ray"), tmp_path / "log.txt")


@pytest.mark.parametrize(
    "address", ["nonsense:", pytest.param("127.0.0.1:1025", marks=pytest.mark.slow)], ids=["malformed", "silent"]
)
def test_without_a_cluster_its_start_is_named(address, tmp_path):
    # In a process of its own: this one may be connected to the cluster of other tests.
    code = (
        "import sys; from pathlib import Path; from fdsearch.errors import ResourceError\n"
        "from fdsearch.execution.machine import Machine, open_executor\n"
        "try: open_executor(Machine(executor='ray'), Path(sys.argv[1]))\n"
        "except ResourceError as error: print(error.exit_code, error)"
    )
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log.txt")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert answer.stdout.startswith("7 no Ray cluster answers"), answer.stderr
    assert address in answer.stdout
    assert "ray start --head" in answer.stdout


@pytest.mark.parametrize(
    ("n_workers", "gpus", "expected"),
    [
        (1, None, Share(16, 1)),
        (4, None, Share(4, 1)),
        (8, None, Share(4, 1)),
        (6, 0, Share(12, 0)),
        (10**4, 0, Share(1, 0)),
    ],
)
def test_workers_divide_the_nodes(n_workers, gpus, expected):
    assert declare(BOXES, n_workers, gpus=gpus) == expected


def test_what_is_declared_fits():
    for n_workers in range(1, 81):
        share = declare(BOXES, n_workers, gpus=0)
        assert sum(held_by(box, share) for box in BOXES) >= n_workers


@pytest.mark.parametrize(("cpus", "gpus"), [(65, 0), (17, 1), (1, 5)])
def test_a_worker_that_no_node_can_hold_is_refused(cpus, gpus):
    with pytest.raises(ResourceError, match="the largest with 16 CPUs and 4 GPUs"):
        declare(BOXES, 1, cpus, gpus)


def test_an_empty_cluster_is_refused():
    with pytest.raises(ResourceError, match="got 0 nodes"):
        declare([], 1)
