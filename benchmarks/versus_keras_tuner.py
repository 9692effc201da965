"""fdsearch beside KerasTuner's Hyperband: the same space, pictures, folds and time.

    FDSEARCH_DATA=... python benchmarks/versus_keras_tuner.py [--short] [--keep FOLDER]    # 5 splits x 2 sides x 600 s
    python benchmarks/versus_keras_tuner.py --quick                                # generated pictures, two minutes

Both search `search_spaces/quick.yaml` freely, each in processes of its own and one after the other. The last line is
one JSON object: `ratio`, the median over the splits of the peer's seconds over ours until the better pooled macro F1
that both reach, and `rows`; see `peers.race`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from peers.race import race
from peers.sides import add_data_options, parse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_options(parser, "generated pictures of 64 pixels")
    parser.add_argument("--seconds", type=float, help="of each side on each split; default 600, with --quick 50")
    parser.add_argument("--short", action="store_true", help="our side ends once it holds the peer's best score")
    parser.add_argument("--splits", type=int, help="default 5, with --quick 1")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of the trials, which are not run again")
    options = parse(parser)
    seconds = options.seconds or (50 if options.quick else 600)
    n_races = options.splits or (1 if options.quick else 5)
    with tempfile.TemporaryDirectory() as folder:
        tiles = None if options.quick else options.data
        kept = options.keep or Path(folder)
        found = race("keras_tuner_script", seconds, n_races, options.folds, tiles, kept, short=options.short)
        print(json.dumps(found))


if __name__ == "__main__":
    main()
