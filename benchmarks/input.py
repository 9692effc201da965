"""Decoding and resizing pictures into the pixel store, beside Pillow alone, `tf.data` and Keras's folder reader.

    FDSEARCH_DATA=... python benchmarks/input.py [--rounds 5] [--quick]

Each side runs in a fresh process of its own, the sides in turn, on files that lie in the page cache; it first decodes
32 pictures untimed, so that no side pays for loading its libraries. The peers keep the pictures in memory, as for
training; fdsearch also checks every file's digest and caps, and writes and syncs the pixel file. TensorFlow's default
resizing takes four pixels whatever the scale; `tf_data_smooth` is the pipeline with the filter that Pillow and fdsearch
have, which widens when a picture shrinks. Without ``FDSEARCH_DATA`` the pictures are generated JPEG and PNG files
(TensorFlow does not read gray BMP files).

The last line is one JSON object: median seconds and peak memory of each side, `ratios` (a peer's seconds by those of
fdsearch) with `ratio` that of the fastest peer and `ratio_same_filter` that of the fastest with the same filter,
seconds to check all files of an unknown set (`check`), and to open again a known set of 8,300 files (`reopen_s`), of
which then 1 % have changed (`reopen_changed_s`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from fdsearch.config import DataSpec
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.progress import Silent

SIZE = 224
N_WARM = 32
N_REOPENED = 8300
LONG_AGO = 1_700_000_000
"""A modification time, seconds, that the store believes at once."""


def fdsearch_store(paths: Sequence[Path], scratch: Path) -> Callable[[], object]:
    store = PixelStore(scratch / "store")
    content = store.hash_files(paths)
    return lambda: store.decode(paths, content, [(SIZE, "stretch")], Silent())


def fdsearch_check(paths: Sequence[Path], scratch: Path) -> Callable[[], object]:
    store = PixelStore(scratch / "store")
    return lambda: store.examine(paths)


def pillow(paths: Sequence[Path], scratch: Path) -> Callable[[], object]:
    def one(path: Path) -> Any:
        with Image.open(path) as image:
            return np.asarray(image.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR))

    return lambda: np.stack([one(path) for path in paths])


def tf_data(paths: Sequence[Path], scratch: Path, *, smooth: bool = False) -> Callable[[], object]:
    import tensorflow as tf

    def one(path: Any) -> Any:
        image = tf.io.decode_image(tf.io.read_file(path), channels=1, expand_animations=False)
        return tf.image.resize(image, (SIZE, SIZE), antialias=smooth)

    def read() -> None:
        files = tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
        pictures = files.map(one, num_parallel_calls=tf.data.AUTOTUNE).cache().batch(32).prefetch(tf.data.AUTOTUNE)
        for _ in pictures:
            pass

    return read


def keras_folder(paths: Sequence[Path], scratch: Path) -> Callable[[], object]:
    import keras
    import tensorflow as tf

    for path in paths:
        (scratch / path.name).symlink_to(path)

    def read() -> None:
        options: dict[str, Any] = {"labels": None, "color_mode": "grayscale", "shuffle": False, "verbose": False}
        pictures = keras.utils.image_dataset_from_directory(scratch, image_size=(SIZE, SIZE), **options)
        for _ in pictures.cache().prefetch(tf.data.AUTOTUNE):
            pass

    return read


SAME_FILTER = {"pillow": pillow, "tf_data_smooth": partial(tf_data, smooth=True)}
PEERS = {**SAME_FILTER, "tf_data": tf_data, "image_dataset_from_directory": keras_folder}
SIDES = {"fdsearch": fdsearch_store, **PEERS, "check": fdsearch_check}


def time_side(name: str, folder: Path) -> dict[str, float]:
    """Seconds and peak MiB of one side in this process."""
    paths = sorted(folder.iterdir())
    for path in paths:
        path.read_bytes()
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as all_of_them:
        SIDES[name](paths[:N_WARM], Path(few))()
        run = SIDES[name](paths, Path(all_of_them))
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def time_opening(folder: Path) -> dict[str, float]:
    """Seconds to load the generated manifest of a folder with its store, and to find its pixel file."""
    spec = DataSpec.model_validate({"manifest": folder / "labels.csv", "label": "label", "group": "group"})
    started = time.perf_counter()
    dataset = load_dataset(spec, PixelStore(folder / "cache"))
    loaded = time.perf_counter()
    dataset.decode([(32, "stretch")])
    return {"load": loaded - started, "seconds": time.perf_counter() - started}


def in_fresh_process(what: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", what, "--folder", str(folder)]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=quiet, capture_output=True, check=False, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(folder: Path, rounds: int) -> dict[str, Any]:
    """Median of the rounds of each side, the sides in turn."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    for number in range(rounds):
        for name in SIDES:
            found[name].append(in_fresh_process(name, folder))
            print(f"round {number + 1}, {name}: {found[name][-1]['seconds']:.2f} s", file=sys.stderr)
    seconds = {name: round(median(run["seconds"] for run in runs), 3) for name, runs in found.items()}
    ratios = {name: round(seconds[name] / seconds["fdsearch"], 2) for name in PEERS}
    peaks = {name: round(median(run["peak_mb"] for run in runs)) for name, runs in found.items()}
    return {
        "seconds": seconds,
        "ratio": min(ratios.values()),
        "ratio_same_filter": min(ratios[name] for name in SAME_FILTER),
        "ratios": ratios,
        "peak_mb": peaks,
    }


def reopen(folder: Path, n: int, rounds: int) -> dict[str, Any]:
    """Open a generated set of small files for the first time, again, and after 1 % of them have changed."""
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    names = [f"pictures/{number:05d}.png" for number in range(n)]
    for name in names:
        _write(folder / name, rng.integers(0, 256, (16, 16), np.uint8))
    rows = [f"{name},class{number % 6},part{number // 2}" for number, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["filename,label,group", *rows]) + "\n")
    first = in_fresh_process("open", folder)
    again = median(in_fresh_process("open", folder)["seconds"] for _ in range(rounds))
    for name in names[::100]:
        _write(folder / name, rng.integers(0, 256, (16, 16), np.uint8), LONG_AGO + 1)
    changed = in_fresh_process("open", folder)
    return {
        "reopened": n,
        "first_open_s": round(first["seconds"], 2),
        "reopen_s": round(again, 3),
        "reopen_changed_s": round(changed["load"], 3),
    }


def generate(folder: Path, n: int) -> Path:
    """Write gray pictures with a camera's noise, two JPEG files and a PNG file in turn."""
    rng = np.random.default_rng(1)
    for number in range(n):
        shape = (int(rng.integers(120, 320)), int(rng.integers(120, 320)))
        ramp = np.linspace(60, 180, shape[1]) + rng.normal(0, 4, shape)
        _write(folder / f"{number:04d}.{('jpg', 'jpg', 'png')[number % 3]}", ramp.astype(np.uint8))
    return folder


def _write(path: Path, pixels: Any, modified: int = LONG_AGO) -> None:
    Image.fromarray(pixels).save(path)
    os.utime(path, (modified, modified))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round, and fewer pictures where they are generated")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side is not None:
        found = time_opening(options.folder) if options.side == "open" else time_side(options.side, options.folder)
        print(json.dumps(found))
        return
    rounds = 1 if options.quick else options.rounds
    with tempfile.TemporaryDirectory() as scratch:
        real = Path(os.environ.get("FDSEARCH_DATA", "")) / "magnetic_tile" / "images"
        if real.is_dir():
            pictures = real.resolve()
        else:
            pictures = Path(scratch) / "generated"
            pictures.mkdir()
            generate(pictures, 400 if options.quick else 1344)
        result = {"pictures": sum(1 for _ in pictures.iterdir()), "generated": not real.is_dir(), "size": SIZE}
        result |= compare(pictures, rounds)
        result |= reopen(Path(scratch) / "reopened", N_REOPENED, rounds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
