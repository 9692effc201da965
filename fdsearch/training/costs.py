"""What computing and what reading cost on this machine: decides whether outputs of frozen layers are worth storing.

Measured once per machine and kept beside what is stored; only ratios are used, so a noisy minute does little harm.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from fdsearch.files import digest_json, write_atomic
from fdsearch.training.features import Shape

_PROBE_BYTES = 1 << 25
_ROUNDS = 3


@dataclass(frozen=True)
class Costs:
    """Speeds of a machine.

    Parameters
    ----------
    macs_per_s : float
        Multiplications with an addition, in the forward pass of a convolution.
    written_per_s, read_per_s : float
        Bytes, to and from the folder of the prefix cache.
    """

    macs_per_s: float
    written_per_s: float
    read_per_s: float

    def storing_pays(self, macs: int, shape: Shape, n_reads: int) -> bool:
        """Whether outputs that are read so many times should be stored.

        Parameters
        ----------
        macs : int
            Of the frozen layers, for one picture.
        shape : tuple of int
            Of their output for one picture, kept as float16.
        n_reads : int
            How often each picture's output will be used.

        Examples
        --------
        >>> costs = Costs(macs_per_s=1e10, written_per_s=1e9, read_per_s=2e9)
        >>> costs.storing_pays(300_000_000, (14, 14, 112), 5)
        True
        >>> costs.storing_pays(300_000_000, (14, 14, 112), 1), costs.storing_pays(1000, (112, 112, 96), 5)
        (False, False)
        """
        computed, size = macs / self.macs_per_s, 2 * int(np.prod(shape))
        return computed + size / self.written_per_s + n_reads * size / self.read_per_s < n_reads * computed


def calibrated(folder: Path) -> Costs:
    """The costs of this machine and folder, measured where nobody has measured them before."""
    machine = digest_json([platform.node(), platform.machine(), os.cpu_count(), _device()])
    path = folder / f"costs-{machine[:16]}.json"
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
        return Costs(**{field.name: float(raw[field.name]) for field in fields(Costs)})
    except (OSError, ValueError, TypeError, KeyError):
        pass
    folder.mkdir(parents=True, exist_ok=True)
    costs = Costs(_macs_per_s(), *_bytes_per_s(folder))
    write_atomic(path, json.dumps(asdict(costs)).encode())
    return costs


def _device() -> str:
    import tensorflow as tf

    names = [tf.config.experimental.get_device_details(device) for device in tf.config.list_physical_devices("GPU")]
    return json.dumps(names, sort_keys=True, default=str)


def _macs_per_s() -> float:
    """Of a middling block: pointwise, depthwise, pointwise, as in the backbones for phones."""
    import tensorflow as tf

    shape, kernels = (8, 28, 28, 64), [(1, 1, 64, 256), (3, 3, 256, 1), (1, 1, 256, 64)]
    wide, deep, narrow = (tf.ones(kernel) for kernel in kernels)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def block(batch: Any) -> Any:
        return tf.reduce_sum(  # one number, for a GPU's outputs would take longer to fetch than to compute
            tf.nn.conv2d(
                tf.nn.depthwise_conv2d(tf.nn.conv2d(batch, wide, 1, "SAME"), deep, [1] * 4, "SAME"), narrow, 1, "SAME"
            )
        )

    batch = tf.ones(shape)
    block(batch)
    seconds = min(_seconds(lambda: block(batch).numpy()) for _ in range(_ROUNDS))
    macs = 8 * 28 * 28 * sum(int(np.prod(kernel)) for kernel in kernels)
    return macs / seconds


def _bytes_per_s(folder: Path) -> tuple[float, float]:
    block = bytes(_PROBE_BYTES)
    with TemporaryFile(dir=folder) as stream:  # it has no name, so a kill leaves nothing

        def write() -> None:
            stream.seek(0)
            stream.write(block)
            stream.flush()

        def read() -> None:
            stream.seek(0)
            stream.read()

        written, read_back = (min(_seconds(work) for _ in range(_ROUNDS)) for work in (write, read))
    return _PROBE_BYTES / written, _PROBE_BYTES / read_back


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return max(time.perf_counter() - began, 1e-9)
