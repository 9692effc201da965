"""The pass that computes what frozen layers make of all pictures: with the weights as variables and as constants.

    python benchmarks/first_pass.py [--size 224] [--pictures 256] [--rounds 5] [--quick]

EfficientNet-Lite0 on generated pictures, up to the pooled features; each side prepares itself first, then they take
turns. The last line is one JSON object: pictures per second of each side (medians), `ratio` of the constants' to the
variables' (median over the rounds), and the seconds that each takes to be prepared, its first chunk included.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from fdsearch.training.network import Network


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="64 pictures of 96 pixels, one round")
    options = parser.parse_args()
    if options.quick:
        options.size, options.pictures, options.rounds = 96, 64, 1

    from fdsearch.training import network

    config = TrialConfig.from_params({"image_size": options.size, "phases": "head"})
    pictures = np.random.default_rng(0).integers(0, 256, (options.pictures, options.size, options.size, 1), np.uint8)
    passes, prepared = {}, {}
    for side, bound in (("variables", sys.maxsize), ("constants", 0)):
        network.LONG_PASS = bound
        passes[side] = partial(one_pass, network.Network(config, n_classes=6), pictures)
        prepared[side] = round(passes[side](), 2)
    rates: dict[str, list[float]] = {side: [] for side in passes}
    for _ in range(options.rounds):
        for side, run in passes.items():
            rates[side].append(options.pictures / run())
        print({side: round(found[-1]) for side, found in rates.items()}, file=sys.stderr)
    ratio = median(ours / theirs for ours, theirs in zip(rates["constants"], rates["variables"], strict=True))
    per_s = {side: round(median(found), 1) for side, found in rates.items()}
    print(json.dumps({"pictures_per_s": per_s, "ratio": round(ratio, 3), "first_pass_s": prepared}))


def one_pass(network: Network, pictures: NDArray[np.uint8]) -> float:
    """Seconds of a pass."""
    started = time.perf_counter()
    for _ in network.activations(pictures, ["features"]):
        pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
