"""fdsearch beside an idiomatic Optuna + Keras script: the same 12 configurations, or both searching freely.

    FDSEARCH_DATA=... python benchmarks/versus_plain.py [--repeat 3]           # about 36 minutes for each pass
    FDSEARCH_DATA=... python benchmarks/versus_plain.py --free-form 600 [--short] [--keep FOLDER]   # 5 splits x 2 sides
    python benchmarks/versus_plain.py --quick                                  # generated pictures, a minute

`twelve.csv` has five configurations that train the head alone, five that open the last block, two that open the last
five; 8 epochs, no augmentation, batches of 32, no pruning, a random head on both sides. Each group is one process per
side, one side after the other: ``fdsearch search`` with one worker on a fresh root, and `peers.plain_script`. Pictures,
folds and seeds are the same; the order of the batches is each side's own.

A ratio is the seconds of the peer's processes over those of ours. Everything counts in its group: imports, decoding,
building, tracing, and on our side the pass that stores what the frozen layers give. `ours_seconds` and `plain_seconds`
of a row are those of its trial; the first row of a group bears what its process does once in a trial. The last line is
one JSON object: `ratio`, `ratio_head`, `ratio_block`, `ratio_tail` (medians over the passes), `mean_abs_difference` of
macro F1 over the rows, `seconds` of the groups, `rows`. With ``--free-form`` see `peers.race`.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path
from statistics import fmean, median
from typing import Any

from peers.race import race
from peers.sides import BENCHMARKS, add_data_options, generate, open_tiles, parse, run_ours, run_peer, study

SPACE: dict[str, Any] = {
    "image_size": 224,
    "pooling": "avg",
    "head_init": "random",
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "batch_size": 32,
    "epochs": 8,
    "phases": {"type": "categorical", "choices": ["head", "head_tail"]},
    "unfreeze": {"type": "float", "low": 0.05, "high": 0.33, "when": {"phases": ["head_tail"]}},
    "phase_decay": {"type": "float", "low": 0.01, "high": 1.0, "log": True, "when": {"phases": ["head_tail"]}},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "schedule": {"type": "categorical", "choices": ["constant", "cosine"]},
    "class_weighting": {"type": "float", "low": 0.0, "high": 1.0},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "label_smoothing": {"type": "float", "low": 0.0, "high": 0.1},
}
"""What holds the points of the table; there is no probe in it, hence no baseline that only one side would train."""
GROUPS = ("head", "block", "tail")
WORDS = ("phases", "schedule")


def configurations() -> dict[str, list[dict[str, Any]]]:
    """The table: points to enqueue, by group."""
    found: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
    with (BENCHMARKS / "twelve.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            name, group = row.pop("name"), row.pop("group")
            params = {key: cell if key in WORDS else float(cell) for key, cell in row.items() if cell}
            found[group].append({"name": name, "params": params})
    return found


def one_pass(
    table: dict[str, list[dict[str, Any]]],
    data: dict[str, Any],
    space: dict[str, Any],
    n_splits: int,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """Every group on both sides: their seconds, and a row for each configuration."""
    seconds, rows = {}, []
    for number, (group, points) in enumerate(table.items()):
        raw = study(data, space, n_splits, seed, n_trials=len(points), pruner="none", enqueue=points)
        place = folder / f"{seed}-{group}"
        if (number + seed) % 2:
            ours, plain = run_ours(raw, place / "ours"), run_peer("plain_script", raw, place / "plain")
        else:
            plain, ours = run_peer("plain_script", raw, place / "plain"), run_ours(raw, place / "ours")
        seconds[group] = {"plain": round(plain.seconds, 1), "ours": round(ours.seconds, 1)}
        print(f"pass {seed}, {group}: {seconds[group]}", file=sys.stderr)
        mine, other = ({trial.name: trial for trial in side.trials} for side in (ours, plain))
        for name in (point["name"] for point in points):
            row = {
                "configuration": name,
                "group": group,
                "plain_seconds": round(other[name].seconds, 1),
                "ours_seconds": round(mine[name].seconds, 1),
                "plain_macro_f1": other[name].value,
                "ours_macro_f1": mine[name].value,
            }
            print(row, file=sys.stderr)
            rows.append(row)
    return {"seconds": seconds, "rows": rows}


def summary(passes: list[dict[str, Any]]) -> dict[str, Any]:
    """What all passes say; macro F1 is averaged over them before it is compared."""
    groups = list(passes[0]["seconds"])

    def ratio(chosen: list[str]) -> float:
        totals = [
            [sum(found["seconds"][group][side] for group in chosen) for side in ("plain", "ours")] for found in passes
        ]
        return round(median(plain / ours for plain, ours in totals), 2)

    rows = []
    for versions in zip(*(found["rows"] for found in passes), strict=True):
        figures = [key for key in versions[0] if key not in ("configuration", "group")]
        means = {key: round(fmean(version[key] for version in versions), 4) for key in figures}
        rows.append({**versions[0], **means})
    return {
        "ratio": ratio(groups),
        **{f"ratio_{group}": ratio([group]) for group in groups},
        "mean_abs_difference": round(fmean(abs(row["plain_macro_f1"] - row["ours_macro_f1"]) for row in rows), 4),
        "n_passes": len(passes),
        "seconds": [found["seconds"] for found in passes],
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_options(parser, "generated pictures of 64 pixels, two configurations")
    parser.add_argument("--folds", type=int, default=2, help="each picture of the development part is in one")
    parser.add_argument("--repeat", type=int, default=1, help="passes, each with other folds and seeds")
    parser.add_argument("--only", help="one group (head, block, tail), or configurations by name, with commas between")
    parser.add_argument("--epochs", type=int, default=SPACE["epochs"])
    parser.add_argument("--free-form", type=float, metavar="SECONDS", help="of each side on each split")
    parser.add_argument("--short", action="store_true", help="our side ends once it holds the other's best score")
    parser.add_argument("--splits", type=int, default=5, help="of the free form")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of the free form's trials, not run again")
    options = parse(parser)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.free_form:
            tiles, kept = None if options.quick else options.data, options.keep or folder
            found = race(
                "plain_script",
                options.free_form,
                options.splits,
                options.folds,
                tiles,
                kept,
                short=options.short,
            )
        else:
            found = measure(options, folder)
        print(json.dumps(found))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The passes over the table that the options ask for."""
    table, space = configurations(), {**SPACE, "epochs": options.epochs}
    if options.quick:
        table, space = {group: table[group][:1] for group in ("head", "block")}, {**SPACE, "epochs": 2}
        space["image_size"] = 64
    if options.only:
        wanted = options.only.split(",")
        chosen = {g: [p for p in points if g in wanted or p["name"] in wanted] for g, points in table.items()}
        table = {group: points for group, points in chosen.items() if points}
    data = generate(folder / "set") if options.quick else open_tiles(options.data)
    return summary(
        [one_pass(table, data, space, options.folds, seed, folder / f"pass-{seed}") for seed in range(options.repeat)]
    )


if __name__ == "__main__":
    main()
