"""Opening a study: identity, sizes, baseline, names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_set import study

from fdsearch import pipeline
from fdsearch.errors import ConfigError
from fdsearch.files import digest_file
from fdsearch.pipeline.question import (
    baseline_point,
    depths,
    open_question,
    pixel_sizes,
)
from fdsearch.pipeline.resolving import check_losses
from fdsearch.pipeline.run_files import write_run_files
from fdsearch.progress import Silent
from fdsearch.space import Distribution, SearchSpace
from fdsearch.space_reader import parse_space
from fdsearch.study_reader import parse_study

BRANCHES = {
    "backbone": {"type": "categorical", "choices": ["efficientnet_lite0", "piston_cnn"]},
    "phases": {"type": "categorical", "choices": ["probe", "head"], "when": {"backbone": ["efficientnet_lite0"]}},
    "image_size": {"type": "categorical", "choices": [160], "when": {"backbone": ["efficientnet_lite0"]}},
    "resize": {"type": "categorical", "choices": ["pad"], "when": {"backbone": ["efficientnet_lite0"]}},
}


def test_other_roles_are_another_question(pictures: Path, tmp_path: Path) -> None:
    def identity(**split: Any) -> str:
        raw = study(pictures, split={"holdout": 0.25, "n_splits": 3, "random_state": 1, **split})
        return open_question(parse_study(raw, "s", pictures), tmp_path, (), Silent()).identity

    first = identity()
    assert identity() == first
    # The same rules under a new partition name deal anew; with another share, other parts are sealed.
    assert identity(partition="second", holdout=0.4) != first


def test_looking_binds_nobody(pictures: Path, tmp_path: Path) -> None:
    spec = parse_study(study(pictures), "s", pictures)
    looked = open_question(spec, tmp_path, (), Silent(), remember=False)
    assert not list((tmp_path / "partitions").glob("*.csv"))
    assert open_question(spec, tmp_path, (), Silent()).identity == looked.identity
    assert list((tmp_path / "partitions").glob("*.csv"))


def test_the_labels_of_a_trials_rows_lie_beside_it(pictures: Path, tmp_path: Path) -> None:
    question = open_question(parse_study(study(pictures), "s", pictures), tmp_path, (), Silent())
    write_run_files(question)
    stored = json.loads((question.folder / "trials" / "labels.json").read_text())
    assert tuple(stored["classes"]) == question.dataset.classes
    assert stored["labels"] == question.dataset.labels.tolist()


def test_every_size_a_branch_can_ask_for_is_decoded() -> None:
    sizes = pixel_sizes(parse_space(BRANCHES))
    assert {(160, "pad"), (80, "stretch")} <= set(sizes)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"phases": {"type": "categorical", "choices": ["head", "probe"]}}, {"phases": "probe"}),
        ({"phases": {"type": "categorical", "choices": ["head", "head_tail"]}}, None),
        ({"backbone": "s_cnn_01"}, None),
        (
            {"phases": {"fixed": "probe"}, "class_weighting": {"type": "float", "low": 0.0, "high": 0.4}},
            {"phases": "probe", "class_weighting": 0.2},
        ),
        (BRANCHES, {"backbone": "efficientnet_lite0", "phases": "probe", "image_size": 160, "resize": "pad"}),
    ],
)
def test_the_baseline_is_the_probe_where_the_space_has_one(
    space: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    assert baseline_point(parse_space(space)) == expected


def test_an_unknown_loss_is_refused_with_a_close_match() -> None:
    with pytest.raises(ConfigError) as caught:
        check_losses(parse_space({"loss": {"type": "categorical", "choices": ["focal", "cross_entorpy"]}}))
    [fault] = caught.value.faults
    assert (fault.where, fault.got) == ("$.space.loss", "'cross_entorpy'")
    assert "cross_entropy" in fault.fix


PLUGIN = """
import keras
import fdsearch
from fdsearch.models.frame import classifier, picture_input, pooled

@fdsearch.builder("tiny")
def tiny(config, input_shape, n_classes):
    pictures, maps = picture_input(input_shape, scale=[1 / 255], offset=[0.0])
    maps = keras.layers.Conv2D(int(config.custom["custom_width"]), 5, strides=4, activation="relu")(maps)
    return classifier(pictures, pooled(maps, config.pooling), config, n_classes)

@fdsearch.loss("plain")
def plain(config, n_classes):
    return lambda y_true, logits: keras.losses.sparse_categorical_crossentropy(y_true, logits, from_logits=True)
"""


def test_a_plugins_builder_and_loss_train_in_a_worker(pictures: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    space = {"backbone": "tiny", "image_size": 48, "phases": "full", "epochs": 2, "loss": "plain", "custom_width": 6}
    spec = parse_study(study(pictures, space=space), "s", pictures)
    document = pipeline.train(spec, tmp_path, plugins=[plugin])
    assert document["epochs"] == [2, 2, 2]
    assert 0 <= document["value"] <= 1
    definition = open_question(spec, tmp_path, [plugin], Silent()).definition
    assert definition["plugins"] == [digest_file(plugin)]  # another plugin is another question


@pytest.mark.parametrize(
    ("unfreeze", "expected"),
    [
        ((), None),
        ((Distribution("unfreeze", "float", low=0.05, high=1.0),), (0.05, 1.0)),
        ((Distribution("unfreeze", "categorical", (0.3, 0.1, 0.2)),), (0.1, 0.3)),
        ((Distribution("unfreeze", "fixed", (0.2,)),), (0.2, 0.2)),
        ((Distribution("unfreeze", "float", low=0.0, high=0.4),), (0.0, 0.4)),
    ],
)
def test_depths_that_trials_of_a_space_train(
    unfreeze: tuple[Distribution, ...], expected: tuple[float, float] | None
) -> None:
    assert depths(SearchSpace((Distribution("image_size", "fixed", (64,)), *unfreeze))) == expected
