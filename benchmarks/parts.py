"""Finding parts by their pictures: how many pairs are right, how many are found, and how long it takes.

    FDSEARCH_DATA=... python benchmarks/parts.py [--sets NAME ...] [--explain] [--quick]

Sets:
  magnetic_tile         the real tiles against `tile_groups.csv`, from pictures alone: names and order are mixed up
  magnetic_tile_names   the same with its names, in the order of their numbers within each exposure
  pistons               no parts are known: how many pictures lie in groups beside copies
  textures              generated parts that share nothing, one to four shots each with known changes
  look_alikes           generated parts of one product, one to three shots each
  distinct_look_alikes  the same, one shot each: every pair that is found is wrong
  bonds                 ribbon bonds, three shots each with known changes
  distinct_bonds        ribbon bonds, one shot each
  bonds_10000           10,000 ribbon bonds, about two shots each: for the time (not among the default sets)

Judge a change of any constant on all of them, magnetic_tile last and once. ``--explain`` compares a second time and
adds quantiles of the scores of right and wrong pairs. ``--disagreements FOLDER`` writes a CSV of the pairs that differ
from the known parts.

Measured figures are in docs/decisions/0020.

The last line on stdout is one JSON object; per set `precision` and `recall` over pairs (null where there are none),
`merged`, the share of pictures that share a group with another part, the number of groups, the threshold, `seconds`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "data" / "parts"))

from rephotograph import Gray, bonds, drawn, look_alike, rephotograph, textured

from fdsearch.data.parts.comparison import compare
from fdsearch.data.parts.evidence import Clues
from fdsearch.data.parts.finding import Parts, find_parts
from fdsearch.data.parts.glance import SIDE, glance, shrunk
from fdsearch.progress import Silent


@dataclass(frozen=True)
class Known:
    """Pictures, what is known beside them, and the true part of each (None where nobody knows)."""

    pictures: Sequence[Gray]
    names: Sequence[str]
    truth: Sequence[Any] | None
    files: Sequence[str]
    seconds: float = 0.0
    """That making the small copies took."""


def blind(n: int) -> list[str]:
    """Names that say nothing."""
    return [f"{number * 7919 % 1_000_003:x}.png" for number in range(n)]


def generated(draw: Callable[[int], Gray], n_parts: int, shots: Sequence[int]) -> Known:
    rng = np.random.default_rng(0)
    pictures: list[Gray] = []
    truth: list[int] = []
    for part in range(n_parts):
        picture, n_shots = draw(part), shots[part % len(shots)]
        pictures += [rephotograph(picture, drawn(rng), shot) for shot in range(n_shots)]
        truth += [part] * n_shots
    return mixed(pictures, truth)


def mixed(pictures: Sequence[Gray], truth: Sequence[int]) -> Known:
    """In mixed order, and as small as `glance` would make them."""
    order = np.random.default_rng(1).permutation(len(pictures)).tolist()
    names = blind(len(pictures))
    scale = SIDE / float(np.median([max(picture.shape) for picture in pictures]))
    small = [shrunk(pictures[row], scale, SIDE) for row in order]
    return Known(small, names, [int(truth[row]) for row in order], names)


def drawn_bonds(n_parts: int, shots: int) -> Known:
    return mixed(*bonds(n_parts, shots))


def data_folder() -> Path | None:
    folder = Path(os.environ.get("FDSEARCH_DATA", ""))
    return folder if os.environ.get("FDSEARCH_DATA") and folder.is_dir() else None


def magnetic_tile(*, names: bool) -> Known | None:
    folder = data_folder()
    if folder is None or not (folder / "magnetic_tile" / "tile_groups.csv").is_file():
        return None
    with (folder / "magnetic_tile" / "tile_groups.csv").open(newline="") as stream:
        rows = [(row["filename"], row["tile_group"]) for row in csv.DictReader(stream)]
    rows.sort()  # as a folder lists them: the table's own order, sorted by label, would tell labels
    if not names:
        rows = [rows[row] for row in np.random.default_rng(2).permutation(len(rows))]
    files = [name for name, _ in rows]
    started = time.perf_counter()
    pictures, _ = glance([folder / "magnetic_tile" / name for name in files], Silent())
    seconds = time.perf_counter() - started
    return Known(pictures, files if names else blind(len(files)), [part for _, part in rows], files, seconds)


def pistons() -> Known | None:
    folder = data_folder()
    if folder is None or not (folder / "pistons").is_dir():
        return None
    paths = sorted((folder / "pistons").rglob("*.jpeg"))
    started = time.perf_counter()
    pictures, _ = glance(paths, Silent())
    files = [path.relative_to(folder).as_posix() for path in paths]
    return Known(pictures, blind(len(files)), None, files, time.perf_counter() - started)


def sets(*, quick: bool) -> dict[str, Callable[[], Known | None]]:
    few = 10 if quick else 1
    return {
        "textures": lambda: generated(textured, 400 // few, (1, 2, 3, 4)),
        "look_alikes": lambda: generated(look_alike, 600 // few, (1, 2, 3)),
        "distinct_look_alikes": lambda: generated(look_alike, 2000 // few, (1,)),
        "bonds": lambda: drawn_bonds(1000 // few, 3),
        "distinct_bonds": lambda: drawn_bonds(5000 // few, 1),
        "pistons": pistons,
        "magnetic_tile": lambda: magnetic_tile(names=False),
        "magnetic_tile_names": lambda: magnetic_tile(names=True),
        "bonds_10000": lambda: drawn_bonds(5000 // few, 2),
    }


def digests(pictures: Sequence[Gray]) -> list[str]:
    return [f"{picture.shape}{hash(picture.tobytes())}" for picture in pictures]


def pairs_of(groups: Sequence[Any]) -> set[tuple[int, int]]:
    members: dict[Any, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return {(a, b) for rows in members.values() for place, a in enumerate(rows) for b in rows[place + 1 :]}


def judged(known: Known, parts: Parts) -> dict[str, Any]:
    """Pairs and merged pictures against the truth."""
    found = pairs_of(parts.ids.tolist())
    grouped = len({row for pair in found for row in pair})
    result: dict[str, Any] = {"pictures": len(known.pictures), "groups": parts.n, "in_groups": grouped}
    result["threshold"] = None if parts.threshold is None else round(parts.threshold, 2)
    if known.truth is None:
        return result
    right = pairs_of(known.truth)
    wrong = {row for pair in found - right for row in pair}
    return result | {
        "precision": round(len(found & right) / len(found), 4) if found else None,
        "recall": round(len(found & right) / len(right), 4) if right else None,
        "merged": round(len(wrong) / len(known.pictures), 5),
    }


def quantiles(scores: np.ndarray) -> dict[str, Any]:
    """How many pairs could be laid over one another, and the quantiles of their scores."""
    real = scores[np.isfinite(scores)]
    points = (0.01, 0.1, 0.5, 0.9, 0.99, 1.0)
    found = [round(float(value), 1) for value in np.quantile(real, points)] if len(real) else None
    return {"pairs": len(scores), "compared": len(real), "quantiles": found}


def explained(known: Known) -> dict[str, Any]:
    seen = compare(known.pictures, Silent())
    if known.truth is None:
        return {"candidates": quantiles(seen.scores)}
    truth = {group: number for number, group in enumerate(dict.fromkeys(known.truth))}
    numbers = np.array([truth[group] for group in known.truth])
    right = numbers[seen.pairs[:, 0]] == numbers[seen.pairs[:, 1]]
    proposed = int(right.sum()) / max(len(pairs_of(known.truth)), 1)
    return {
        "right": quantiles(seen.scores[right]),
        "wrong": quantiles(seen.scores[~right]),
        "right_pairs_proposed": round(proposed, 4),
    }


def write_disagreements(file: Path, known: Known, parts: Parts) -> None:
    if known.truth is None:
        return
    found, right = pairs_of(parts.ids.tolist()), pairs_of(known.truth)
    scores = {tuple(pair): float(score) for pair, score in zip(parts.links.tolist(), parts.scores, strict=True)}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["kind", "first", "second", "first_part", "second_part", "probability"])
        for a, b in sorted(found ^ right):
            kind = "joined" if (a, b) in found else "missed"
            row = [known.files[a], known.files[b], known.truth[a], known.truth[b], scores.get((a, b), "")]
            writer.writerow([kind, *row])


def measure(name: str, known: Known, options: argparse.Namespace) -> dict[str, Any]:
    started = time.perf_counter()
    parts = find_parts(known.pictures, Clues(tuple(known.names)), digests(known.pictures), Silent())
    seconds = known.seconds + time.perf_counter() - started
    result = judged(known, parts) | {"seconds": round(seconds, 1), "notes": list(parts.notes)}
    if options.explain:
        result["scores"] = explained(known)
    if options.disagreements is not None:
        write_disagreements(options.disagreements / f"{name}.csv", known, parts)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    everything = sets(quick=False)
    parser.add_argument("--sets", nargs="+", choices=list(everything), metavar="NAME")
    parser.add_argument("--explain", action="store_true", help="add quantiles of all scores")
    parser.add_argument("--disagreements", type=Path, help="folder for a CSV of wrong and missed pairs per set")
    parser.add_argument("--quick", action="store_true", help="a tenth of the generated pictures")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    chosen = options.sets or [name for name in everything if name != "bonds_10000"]
    for name in chosen:
        known = sets(quick=options.quick)[name]()
        if known is None:
            result[name], result[f"{name}_why"] = None, "FDSEARCH_DATA does not hold the set"
            continue
        result[name] = measure(name, known, options)
        print(f"{name}: {json.dumps(result[name])}", file=sys.stderr)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
