"""Generated ribbon-bond pictures as the ENS data challenge 157 (Valeo) ships its own, for those who lack the data.

Folders, tables, French labels, the five sizes and the shares of the classes are the challenge's; the pictures are not.
Beside them lie two files that the challenge does not have: which part each picture shows, and the labels of the test
pictures, some of which show drift.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.data.photographs import Part, photograph, plan_parts
from fdsearch.data.ribbon_layout import CLASSES, DRIFT
from fdsearch.data.synthetic import GENERATOR_VERSION, is_done
from fdsearch.errors import ConfigError, Fault
from fdsearch.files import csv_bytes, disk_errors, write_atomic, write_json
from fdsearch.progress import Progress, Silent

LABELLED = dict(zip(CLASSES, (1235, 71, 270, 104, 6472, 126), strict=True))
"""Labelled pictures of each class in the challenge."""
N_TEST, N_DRIFT = 1055, 55
"""Unlabelled ones, and how many of them show drift by the hand labels of a write-up."""
FRENCH = dict(
    zip(
        CLASSES,
        ("GOOD", "Boucle plate", "Lift-off blanc", "Lift-off noir", "Missing", "Short circuit MOS"),
        strict=True,
    )
) | {DRIFT: "6"}
"""Labels as the tables spell them; drift has a number alone."""

SIZES = {
    ("Die01", "2003"): (500, 500),
    ("Die01", "2005"): (500, 500),
    ("Die04", "2003"): (640, 700),
    ("Die04", "2005"): (640, 700),
    ("Die02", "2003"): (900, 950),
    ("Die02", "2005"): (1060, 1200),
    ("Die03", "2003"): (1260, 1470),
    ("Die03", "2005"): (1260, 1470),
}
"""Height and width in pixels by product and camera. Least and largest are the challenge's, those between are ours."""

TRAIN, TEST = Path("input_train/input_train"), Path("input_test/input_test")
TABLE, QUESTIONS = "Y_train_generated.csv", "X_test_generated.csv"
PARTS, ANSWERS = "parts.csv", "test_labels.csv"

_SHOTS, _MOST_SHOTS = 1.25, 2
_COLUMNS = ["", "filename", "window", "lib", "Label", "part"]


@dataclass(frozen=True)
class Picture:
    """One row of a table: a shot of a part under a name that tells neither part nor class."""

    part: Part
    shot: int
    name: str

    @property
    def cells(self) -> list[str]:
        return [self.name, self.part.window, self.part.lib, FRENCH[self.part.label]]


def synthesize_challenge(
    out: Path, share: float = 0.5, scale: float = 0.2, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """Write ribbon-bond pictures in the challenge's layout.

    Parameters
    ----------
    out : Path
        Receives ``input_train/input_train``, ``input_test/input_test``, ``Y_train_generated.csv`` (an unnamed index,
        filename, window, lib, Label), ``X_test_generated.csv`` (the same without Label), ``test_labels.csv`` (of the
        test pictures, with their parts; drift is 6) and ``parts.csv`` (filename, part). If it already holds the same
        pictures, nothing is drawn.
    share : float
        Of the challenge's 8,278 labelled and 1,055 other pictures, above 0 to 1; each class keeps its share.
    scale : float
        Pixels of a side over those of the challenge, 0.05 to 1.
    seed : int
        0 or more.

    Returns
    -------
    dict
        path (str, absolute), n (labelled pictures), classes (their number by class, French), n_test, n_drift.

    Raises
    ------
    ConfigError
        If a number is out of range, or `out` holds something else.
    StorageError, ResourceError
        If `out` cannot be written.
    """
    _check(share, scale, seed)
    train, test = counts(share)
    recipe = {"generator": GENERATOR_VERSION, "layout": "challenge", "share": share, "scale": scale, "seed": seed}
    if not is_done(out, recipe, TABLE):
        with disk_errors(out, "synthetic pictures"):
            for folder in (TRAIN, TEST):
                (out / folder).mkdir(parents=True, exist_ok=True)
            write_json(out / "synthetic.json", recipe)
            names = _names(sum(train.values()) + sum(test.values()), seed)
            shown = [
                _draw(out / folder, wanted, names, 2 * seed + number, scale, progress or Silent())
                for number, (folder, wanted) in enumerate(((TRAIN, train), (TEST, test)))
            ]
            _write_tables(out, *shown)
    return {
        "path": str(out.resolve()),
        "n": sum(train.values()),
        "classes": {FRENCH[label]: n for label, n in train.items()},
        "n_test": sum(test.values()),
        "n_drift": test[DRIFT],
    }


def counts(share: float) -> tuple[dict[str, int], dict[str, int]]:
    """Labelled and test pictures of each class, the latter with drift among them.

    Examples
    --------
    >>> train, test = counts(1.0)
    >>> sum(train.values()), sum(test.values()), test["6_Drift"]
    (8278, 1055, 55)
    >>> counts(0.5)[0]["1_Flat loop"]
    36
    """
    train = {label: math.floor(n * share + 0.5) for label, n in LABELLED.items()}
    drift, rest = round(N_DRIFT * share), round((N_TEST - N_DRIFT) * share)
    exact = np.array(list(LABELLED.values())) * rest / sum(LABELLED.values())
    test = np.floor(exact).astype(int)
    # The largest remainders get what rounding down has left (Hamilton's method).
    test[np.argsort(test - exact, kind="stable")[: rest - int(test.sum())]] += 1
    return train, dict(zip(CLASSES, test.tolist(), strict=True)) | {DRIFT: drift}


def _check(share: float, scale: float, seed: int) -> None:
    faults = []
    if not 0 < share <= 1 or min(counts(share)[0].values()) < 4:
        faults.append(Fault("share", f"{share:g}", "at most 1, with 4 or more pictures of each class", "0.05 or more"))
    if not 0.05 <= scale <= 1:
        faults.append(Fault("scale", f"{scale:g}", "0.05 to 1", "choose another scale"))
    if seed < 0:
        faults.append(Fault("seed", str(seed), "0 or more", "choose another seed"))
    if faults:
        raise ConfigError("the pictures cannot be synthesized", faults)


def _names(n: int, seed: int) -> Iterator[str]:
    """File names, no two alike, whose order tells nothing."""
    numbers = np.random.default_rng([seed, 2]).choice(900_000, n, replace=False) + 100_000
    return (f"{number}.jpeg" for number in numbers)


def _draw(
    folder: Path, wanted: Mapping[str, int], names: Iterator[str], seed: int, scale: float, progress: Progress
) -> list[Picture]:
    """Draw the pictures of one folder under the next names; the same, in the order of the table."""
    parts = plan_parts({label: n for label, n in wanted.items() if n}, seed, _SHOTS, _MOST_SHOTS)
    taken = [(part, shot) for part in parts for shot in range(part.shots)]
    pictures = [Picture(part, shot, next(names)) for part, shot in taken]
    places = {(picture.part.number, picture.shot): folder / picture.name for picture in pictures}

    def size(part: Part) -> tuple[int, int]:
        height, width = SIZES[part.lib, part.window]
        return round(height * scale), round(width * scale)

    photograph(parts, seed, size, lambda part, shot: places[part.number, shot], progress)
    return [pictures[index] for index in np.random.default_rng([seed, 1]).permutation(len(pictures))]


def _write_tables(out: Path, train: Sequence[Picture], test: Sequence[Picture]) -> None:
    """Write the tables, that of the labels last: its presence says that the pictures are whole."""
    parts = [[each.name, f"{kind}-{each.part.name}"] for kind, rows in (("a", train), ("b", test)) for each in rows]
    write_atomic(out / PARTS, csv_bytes(["filename", "part"], parts))
    write_atomic(out / QUESTIONS, _table([each.cells[:-1] for each in test]))
    write_atomic(out / ANSWERS, _table([[*each.cells, f"b-{each.part.name}"] for each in test]))
    write_atomic(out / TABLE, _table([each.cells for each in train]))


def _table(rows: Sequence[Sequence[str]]) -> bytes:
    """A table with an unnamed index, as pandas writes one."""
    header = _COLUMNS[: 1 + len(rows[0])]
    return csv_bytes(header, [[str(index), *cells] for index, cells in enumerate(rows)])
