"""What an exchange test would claim where one class has a few sealed parts: a gain of the macro F1, truly or not.

    python benchmarks/rare_class_gains.py            # 300 sets of each kind, a minute
    python benchmarks/rare_class_gains.py --quick    # 60 sets of each kind

Two models answer drawn parts of three classes: 40, 40, and 1, 2 or 4 of the rare one, two pictures each. How hard a
part is they share. For each world the share of sets is counted in which
`fdsearch.selection.exchange.exchange_share` is at most 0.025 (one side of 95 %), and beside it the gain in macro F1 on
sixty times as many parts: a claim where that is not above zero is false. Decision 41 has the figures.

The last line is one JSON object: ``worlds``, each with ``world, rare_parts, gain, claimed``.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from fdsearch.metrics import macro_f1
from fdsearch.selection.exchange import exchange_share

FREQUENT, PICTURES, CLASSES = 40, 2, 3
ALPHA = 0.025
SHARED, OF_PART = 0.6, 0.6
"""How much of what makes a picture hard both models share, and how much of the rest its part's pictures share."""

WORLDS = {
    "equal": ([0.8, 0.8, 0.5], [0.8, 0.8, 0.5]),
    "better everywhere": ([0.95, 0.95, 0.75], [0.8, 0.8, 0.6]),
    "rare class lost, .3 to 0": ([0.9, 0.9, 0.0], [0.75, 0.75, 0.3]),
    "rare class lost, .6 to 0": ([0.96, 0.96, 0.0], [0.75, 0.75, 0.6]),
}
"""Recalls of the challenger and of the champion; a wrong picture gets one of the frequent classes."""

Answers = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def main() -> int:
    """Print how often a gain would be claimed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="60 sets of each kind instead of 300")
    n = 60 if parser.parse_args().quick else 300
    rows = []
    for rare in (1, 2, 4):
        for name, recalls in WORLDS.items():
            rows.append(
                {"world": name, "rare_parts": rare, "gain": gain(recalls, rare), "claimed": claimed(recalls, rare, n)}
            )
            print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "rare_class_gains", "sets": n, "alpha": ALPHA, "worlds": rows}))
    return 0


def claimed(recalls: tuple[list[float], list[float]], rare: int, n: int) -> float:
    """Share of sets in which the test would call the challenger better."""
    rng = np.random.default_rng(7)
    sets = (drawn(recalls, rare, rng) for _ in range(n))
    return float(np.mean([exchange_share(y, a, b, groups, CLASSES) <= ALPHA for y, a, b, groups in sets]))


def gain(recalls: tuple[list[float], list[float]], rare: int, times: int = 60) -> float:
    """Gain in macro F1 on many such parts."""
    y, a, b, _ = drawn(recalls, rare, np.random.default_rng(1), times)
    return round(macro_f1(y, a, CLASSES) - macro_f1(y, b, CLASSES), 3)


def drawn(recalls: tuple[list[float], list[float]], rare: int, rng: np.random.Generator, times: int = 1) -> Answers:
    """Labels, the answers of both, and the part of each picture."""
    labels = np.repeat(np.arange(CLASSES), np.array([FREQUENT, FREQUENT, rare]) * times)
    groups = np.repeat(np.arange(len(labels)), PICTURES)
    y = labels[groups]
    shared, answers = rng.normal(size=len(labels))[groups], []
    for recall in recalls:
        of_part, of_picture = rng.normal(size=len(labels))[groups], rng.normal(size=len(y))
        own = OF_PART * of_part + np.sqrt(1 - OF_PART**2) * of_picture
        hardness = SHARED * shared + np.sqrt(1 - SHARED**2) * own
        answers.append(np.where(hardness < ndtri(np.asarray(recall))[y], y, np.where(y == 0, 1, 0)))
    return y, answers[0], answers[1], groups


if __name__ == "__main__":
    sys.exit(main())
