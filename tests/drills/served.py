"""Two versions for the service to switch between: one architecture with two heads, exported as a run exports them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np

from fdsearch.pipeline.exporter import Exporter
from fdsearch.registry.draft import CARD, CONTRACT, METRICS, MODEL, PREDICTIONS, Draft
from fdsearch.registry.store import Registry
from fdsearch.serving.contract import Contract
from fdsearch.serving.exports import EXPORTS, GOLDEN, Exports, Golden, MeasuredOn

NAME = "drilled"
CLASSES = ("blowhole", "break", "crack", "free")


def make_registry(folder: Path, size: int) -> Path:
    """Register two versions of EfficientNet-Lite0; returns the registry's folder."""
    root = folder / "registry"
    exporter = Exporter(folder / "exports.txt")
    try:
        for seed in (1, 2):
            register(root, exporter, _draft(folder / str(seed), size, seed))
    finally:
        exporter.close()
    return root


def register(root: Path, exporter: Exporter, draft: Path) -> None:
    """Export what is in a folder with ``model.keras`` and ``contract.json`` and register it as the next version."""
    contract = Contract.parse((draft / CONTRACT).read_bytes(), CONTRACT)
    size = contract.input.size
    pictures = np.random.default_rng(0).integers(0, 256, (32, size, size, 1), np.uint8)
    np.savez_compressed(draft / GOLDEN, pictures=pictures)
    made = exporter.begin(draft).result()
    for name, export in made.items():
        print(f"{name}: {export.batch_1_ms} ms, {export.why or 'passes'}", file=sys.stderr, flush=True)
    here = MeasuredOn(machine="the drill's", cores=os.cpu_count() or 1, versions={})
    Exports(golden=Golden(n=len(pictures)), measured_on=here, exports=made).write(draft / EXPORTS)
    (draft / CARD).write_text("# A version to drill with\n")
    (draft / METRICS).write_text("{}")
    np.savez(draft / PREDICTIONS, logits=np.zeros((1, len(contract.classes)), np.float32))
    Registry(root).register(NAME, Draft(draft), "drill")
    shutil.rmtree(draft)


def _draft(folder: Path, size: int, seed: int) -> Path:
    from fdsearch.models.builders import build_model
    from fdsearch.quiet import import_keras
    from fdsearch.trial import TrialConfig

    import_keras()
    import keras

    keras.utils.set_random_seed(seed)
    folder.mkdir()
    config = TrialConfig.from_params({"backbone": "efficientnet_lite0", "image_size": size})
    build_model(config, len(CLASSES)).save(folder / MODEL)
    rule = {"pass_threshold": 0.9, "unit": "group"}
    Contract.model_validate(
        {
            "input": {"size": size, "resize": "stretch"},
            "classes": CLASSES,
            "pass_classes": ("free",),
            "calibration": {"temperature": 0.5 * seed, "bias": (0.0,) * len(CLASSES)},
            "decision": rule,
        }
    ).write(folder / CONTRACT)
    return folder
