"""Adds to a draft what can be run without Keras: ONNX, LiteRT, the golden set, and ``exports.json`` about them.

`registration` begins this when a draft's model is there and takes the result before the draft is sealed; `exporter` has
the work done in another process meanwhile. Whatever goes wrong with a format, the run goes on and ``exports.json`` says
why the format is not there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fdsearch.errors import IntegrityError
from fdsearch.files import digest_file
from fdsearch.packages import installed_versions
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.parity import golden_rows
from fdsearch.pipeline.question import Question
from fdsearch.registry.draft import CONTRACT, MODEL
from fdsearch.serving.exports import EXPORTS, GOLDEN, Export, Exports, Golden, MeasuredOn
from fdsearch.serving.formats import FILES, KERAS
from fdsearch.serving.novelty import NOVELTY
from fdsearch.training.latency import machine
from fdsearch.trial import TrialConfig

_PACKAGES = ("keras", "tensorflow", "onnxruntime", "ai-edge-litert", "onnx", "tf2onnx")
_WAIT_S = 0.2


@dataclass(frozen=True)
class Begun:
    """Exports that are under way, in a folder of their own: the draft may be sealed and scored meanwhile.

    Parameters
    ----------
    folder : Path
    made_of : mapping of str to str
        SHA-256 of the model and the contract that are being exported.
    n_golden : int
        Pictures of the golden set.
    result : Future
    """

    folder: Path
    made_of: Mapping[str, str]
    n_golden: int
    result: Future[dict[str, Export]]


def begin_exports(question: Question, config: TrialConfig, draft: Path, run: Running) -> Begun:
    """Export a draft's model in every format, without waiting for it.

    Parameters
    ----------
    config : TrialConfig
        Of the model; its golden set is made of pictures as it was trained on.
    draft : Path
        Holds ``model.keras`` and ``contract.json``.
    """
    folder = draft.with_name(f"{draft.name}.exports")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in (MODEL, CONTRACT, *([NOVELTY] if (draft / NOVELTY).is_file() else [])):
        shutil.copyfile(draft / name, folder / name)
    rows = golden_rows(question.dataset.labels, question.partition.development.rows)
    pixels = np.load(question.maker.pixels[(config.image_size, config.resize)], mmap_mode="r")
    np.savez_compressed(folder / GOLDEN, pictures=pixels[rows])
    return Begun(folder, _digests(folder), len(rows), run.exporter.begin(folder))


def take_exports(
    question: Question, config: TrialConfig, draft: Path, run: Running, begun: Begun | None = None
) -> None:
    """Wait for a draft's exports and put them into it, with ``exports.json``.

    Where the draft's model or contract became another one meanwhile, that is exported instead. Without `begun`, what an
    ended run left stays if it was made of this model and contract.
    """
    if begun is None and _made_of(draft) == _digests(draft):
        return
    if begun is not None and begun.made_of != _digests(draft):
        _wait(begun, run)
        begun = None
    begun = begun or begin_exports(question, config, draft, run)
    made = _wait(begun, run)
    known = made[KERAS].passes  # else the golden set is without answers, and nothing was compared with it
    for name in (EXPORTS, GOLDEN, *(file for file in FILES.values() if file != MODEL)):
        (draft / name).unlink(missing_ok=True)
    files = {each.file for each in made.values() if each.file is not None} - {MODEL}
    for name in files | ({GOLDEN} if known else set()):
        shutil.move(begun.folder / name, draft / name)
    shutil.rmtree(begun.folder, ignore_errors=True)
    Exports(
        golden=Golden(n=begun.n_golden if known else 0),
        made_of=dict(begun.made_of),
        measured_on=MeasuredOn(machine=machine(), cores=os.cpu_count() or 1, versions=installed_versions(_PACKAGES)),
        exports=made,
    ).write(draft / EXPORTS)
    run.log.say(f"exports: {', '.join(_told(name, export) for name, export in made.items())}")


def _wait(begun: Begun, run: Running) -> dict[str, Export]:
    while True:
        run.interruption.check()
        try:
            return begun.result.result(_WAIT_S)
        except TimeoutError:
            continue


def _made_of(draft: Path) -> dict[str, str] | None:
    """What an ended run's exports were made of; they are whole if their list is there, for it is written last."""
    try:
        return Exports.parse((draft / EXPORTS).read_bytes(), EXPORTS).made_of
    except (OSError, IntegrityError):
        return None


def _digests(folder: Path) -> dict[str, str]:
    return {name: digest_file(folder / name) for name in (MODEL, CONTRACT)}


def _told(name: str, export: Export) -> str:
    if export.passes and export.batch_1_ms is not None:
        return f"{name} {export.batch_1_ms:.1f} ms"
    return f"no {name} ({export.why})"
