"""A real Ray cluster on loopback: two nodes with one processor each, of which the second can be killed and come back.

It has a folder of its own, so that a cluster this machine may belong to is neither used nor touched.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from types import TracebackType
from typing import Any, Self

from fdsearch.execution.ray_cluster import SETTINGS

# Without it Ray would take the machine's outward address for its nodes; read while Ray loads.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 * 2**20, "include_dashboard": False}


class TwoNodes:
    """A cluster that `RAY_ADDRESS` names while the block runs; a context manager."""

    def __init__(self) -> None:
        self._before = dict(os.environ)
        self._folder = tempfile.mkdtemp(prefix="fdray")  # short: the paths of sockets are
        os.environ.update(SETTINGS | LOOPBACK, RAY_TMPDIR=self._folder)
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(initialize_head=True, head_node_args=NODE)
        os.environ["RAY_ADDRESS"] = self._cluster.address
        self._second: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()
        for name in {*SETTINGS, *LOOPBACK, "RAY_TMPDIR", "RAY_ADDRESS"}:
            os.environ.pop(name)
        os.environ.update(self._before)
        shutil.rmtree(self._folder, ignore_errors=True)

    def complete(self) -> None:
        """Start the second node where it is missing."""
        if self._second is None:
            self._second = self._cluster.add_node(**NODE)

    def kill_second(self) -> None:
        """Kill the second node with all that runs on it."""
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None
