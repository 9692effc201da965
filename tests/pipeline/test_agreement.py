"""Which model ships: real models, real bundles, the real predictor; only the fits are stand-ins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_set import CLASSES, study

from fdsearch.config import Gates
from fdsearch.execution.in_process import InProcess
from fdsearch.files import digest_file
from fdsearch.models.mirrored import mirrored
from fdsearch.pipeline.agreement import agree, drop_models, fold_models, latency_gate, settle
from fdsearch.pipeline.finished_jobs import REPEATS, FinishedJobs
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.holdout import Opened, bundled, score_holdout
from fdsearch.pipeline.interruption import Interruption
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.question import Question, baseline_config, open_question
from fdsearch.pipeline.run_status import RunLog
from fdsearch.progress import Silent
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.cross_validation import saving
from fdsearch.serving.contract import Contract
from fdsearch.study_reader import parse_study
from fdsearch.training import latency
from fdsearch.training.job import Job, Report, Result

SIZE = 64
TRAINED: list[str] = []


def constant(label: int, *, seed: int | None = None, n_classes: int = 3) -> Any:
    """A model that answers one class whatever it sees; a seed gives it a body of its own."""
    import keras

    pictures = keras.Input((SIZE, SIZE, 1), dtype="uint8", name="pictures")
    x = keras.layers.Rescaling(1 / 255.0, name="preprocessing")(pictures)
    if seed is not None:
        x = keras.layers.Conv2D(2, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=seed))(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    model = keras.Model(pictures, keras.layers.Dense(n_classes, name="logits")(x))
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([np.zeros_like(kernel), 5 * np.eye(n_classes, dtype=np.float32)[label]])
    assert bias.shape == (n_classes,)
    return model


def contract(n_classes: int = 3) -> Contract:
    classes = list(CLASSES)[:n_classes]
    return Contract.model_validate(
        {
            "input": {"size": SIZE, "resize": "stretch"},
            "classes": classes,
            "pass_classes": ["free"],
            "calibration": {"temperature": 1.0, "bias": [0.0] * n_classes},
            "decision": {"pass_threshold": 0.9, "unit": "group"},
        }
    )


def write_bundle(folder: Path, model: Any) -> Path:
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    contract(model.outputs[0].shape[1]).write(folder / "contract.json")
    return folder


def bright(threshold: float) -> Any:
    """A model that calls a picture ``free`` where its mean brightness, 0 to 1, lies above a threshold, else crack."""
    import keras

    model = constant(0, n_classes=2)
    model.get_layer("logits").set_weights([np.array([[0.0, 40.0]], np.float32), np.array([0.0, -40 * threshold])])
    assert isinstance(model, keras.Model)
    return model


@pytest.mark.parametrize(
    ("threshold", "same", "shipped"),
    [(0.5, 40, "refit"), (0.51, 38, "refit"), (0.525, 37, "ensemble"), (0.9, 20, "ensemble")],
)
def test_parts_are_counted_by_their_mean_probability(tmp_path: Path, threshold: float, same: int, shipped: str) -> None:
    """40 parts with two pictures: one decides the part, and one says little."""
    levels = [*np.linspace(0.1, 0.45, 20), 0.505, 0.507, 0.52, *np.linspace(0.55, 0.85, 17)]
    paths, parts = [], []
    for number, level in enumerate(levels):
        for shot, value in enumerate((level, level + 0.002 if level > 0.5 else level - 0.002)):
            paths.append(tmp_path / f"{number}-{shot}.png")
            parts.append(f"part {number}")
            Image.fromarray(np.full((SIZE, SIZE), round(255 * value), np.uint8)).save(paths[-1])
    refit, ensemble = (write_bundle(tmp_path / name, bright(at)) for name, at in (("a", 0.5), ("b", threshold)))
    with bundled(refit, "tiles") as one, bundled(ensemble, "tiles") as other:
        found = agree(one, other, paths, parts)
    assert (found["parts"], found["same"], found["shipped"]) == (40, same, shipped)
    assert found["share"] == same / 40
    assert f"{same} of 40 sealed parts" in found["why"]
    assert (threshold == 0.5) == (found["decisions_same"] == 1.0)
    assert not list(tmp_path.rglob("manifest.json")), "a draft is registered without a manifest"


def test_labels_cannot_be_read() -> None:
    """What decides between the two is handed pictures and parts, nothing else."""
    assert list(agree.__annotations__) == ["refit", "ensemble", "paths", "parts", "return"]


def save_constant(job: Job, report: Report) -> Result:
    """Stand in for the trainer: the model of the first class."""
    TRAINED.append(job.id)
    assert job.save_to is not None
    job.save_to.parent.mkdir(parents=True, exist_ok=True)
    constant(0).save(job.save_to)
    return Result(job.id, "done", np.zeros((len(job.validation), 3), np.float32))


@pytest.fixture
def question(pictures: Path, tmp_path: Path) -> Question:
    raw = study(pictures, search={"n_trials": 3, "max_latency_ms": 10})
    found = open_question(parse_study(raw, "tiles", pictures), tmp_path / "root", (), Silent())
    config = baseline_config(found.space)
    assert config is not None
    architecture = latency.Architecture(config, 3, found.maker.plugins)
    latency.keep(found.workspace.latencies, architecture, latency.Latency(4.0, "keras", latency.machine()))
    return found


@pytest.fixture
def run(question: Question) -> Running:
    TRAINED.clear()
    executor: Any = InProcess(target=f"{__name__}:save_constant")
    return Running(RunLog(question.folder, "tiles", Silent()), executor, Interruption(), Means())


def candidate(question: Question, models: list[Any] | None) -> Candidate:
    """A candidate whose folds' models lie where they were saved; None: nothing was."""
    config = baseline_config(question.space)
    assert config is not None
    folds, maker = question.partition.folds, question.maker
    jobs = [
        maker.fold_job(f"a-r0-f{k}", config, folds, k, random_state=1, repeat=0, single_split=False)
        for k in range(len(folds))
    ]
    if models is not None:
        folder = question.folder / REPEATS / "models"
        folder.mkdir(parents=True)
        jobs = [saving(job, folder) for job in jobs]
        for job, model in zip(jobs, models, strict=True):
            if model is not None:
                model.save(job.save_to)
    return Candidate("a", config, np.zeros((1, len(question.dataset), 3), np.float32), (), tuple(jobs))


def test_a_final_fit_that_agrees_ships_as_it_is(question: Question, run: Running) -> None:
    folder = write_bundle(question.folder / "drafts" / "a-0123", constant(1))
    before = digest_file(folder / "model.keras")
    found = settle(question, candidate(question, [constant(1), constant(1), constant(1)]), folder, run)
    assert (found["share"], found["shipped"], found["decisions_same"]) == (1.0, "refit", 1.0)
    assert digest_file(folder / "model.keras") == before
    assert [path.name for path in folder.parent.iterdir()] == ["a-0123"]
    assert sorted(path.name for path in folder.iterdir()) == ["contract.json", "model.keras"]
    assert latency_gate(question, found) == []


def test_else_the_mean_of_the_folds_ships_and_is_scored(question: Question, run: Running) -> None:
    folder = write_bundle(question.folder / "drafts" / "a-0123", constant(1))
    found = settle(question, candidate(question, [constant(0), constant(0), constant(2)]), folder, run)
    assert (found["share"], found["shipped"], found["networks"]) == (0.0, "ensemble", 1)
    assert "less than 95 %" in found["why"]
    _, details = score_holdout(question, folder, Opened(1))
    columns = np.array(details["confusion"]).sum(axis=0)
    assert columns[0] > 0 and columns[1] == columns[2] == 0, "the first class has two votes of three"
    assert (details["openings"], details["independent"]) == (1, True)


@pytest.mark.parametrize("test_views", [1, 4])
def test_several_networks_are_timed_together(question: Question, run: Running, test_views: int) -> None:
    """A measured latency is that of all test views of one network."""
    made = candidate(question, [mirrored(constant(0, seed=seed), test_views) for seed in range(3)])
    folder = write_bundle(question.folder / "drafts" / "a-0123", constant(1, seed=9))
    found = settle(question, made, folder, run)
    assert (found["shipped"], found["networks"], found["latency_ms"]) == ("ensemble", 3, 12.0)
    [gate] = latency_gate(question, found)
    assert (gate["holds"], gate["figure"], gate["threshold"]) == (False, 12.0, 10.0)
    assert gate["name"] not in Gates.model_fields, "else a bound of the registry would take its place at a promotion"
    [faster] = latency_gate(question, {**found, "latency_ms": 9.0})
    assert faster["holds"]
    [unknown] = latency_gate(question, {**found, "latency_ms": None})
    assert not unknown["holds"] and "could not be measured" in unknown["why"]
    with bundled(folder, "tiles") as predictor:  # it passes every check that a registered model has to pass
        paths = [question.dataset.paths[row] for row in question.partition.holdout.rows]
        assert {each.label for each in predictor.predict(paths)} == {"crack"}


@pytest.mark.parametrize("kept", [None, [None, None, None], [constant, None, constant]])
def test_models_that_were_not_kept_are_trained_again(question: Question, run: Running, kept: Any) -> None:
    models = None if kept is None else [make and make(0) for make in kept]
    missing = [f"a-r0-f{k}" for k in range(3) if kept is None or kept[k] is None]
    files = fold_models(candidate(question, models), run, FinishedJobs(question.folder / REPEATS))
    assert missing == TRAINED
    assert all(file.is_file() for file in files) and len(set(files)) == 3
    assert not list((question.folder / REPEATS).glob("*.checkpoint"))


def test_a_torn_model_is_trained_again(question: Question, run: Running) -> None:
    made = candidate(question, [constant(0), constant(0), constant(0)])
    torn = made.fold_jobs[1].save_to
    assert torn is not None
    torn.write_bytes(torn.read_bytes()[:-100])
    fold_models(made, run, FinishedJobs(question.folder / REPEATS))
    assert TRAINED == ["a-r0-f1"]


def test_models_of_the_others_are_dropped(question: Question) -> None:
    made = candidate(question, [constant(0), None, constant(0)])
    drop_models([made])
    assert not [job.save_to for job in made.fold_jobs if job.save_to is not None and job.save_to.exists()]
    drop_models([replace(made, fold_jobs=())])
