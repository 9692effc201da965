"""The mean of several models as one model: the same logits, loadable where any other model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fdsearch.layers import LOGITS
from fdsearch.models.builders import build_model
from fdsearch.models.ensemble import average, n_networks
from fdsearch.serving.archive import check_archive

if TYPE_CHECKING:
    import keras

    from fdsearch.trial import TrialConfig

Smallest = Callable[..., "TrialConfig"]


def networks(config: TrialConfig, n_models: int) -> list[keras.Model]:
    """Models whose weights all differ."""
    import keras

    made = []
    for seed in range(n_models):
        keras.utils.set_random_seed(seed)
        made.append(build_model(config, 4))
    return made


def probes(config: TrialConfig, n_models: int) -> list[keras.Model]:
    """Models that differ in the head alone."""
    made = networks(config, n_models)
    body = made[0].get_weights()
    for number, model in enumerate(made):
        head = np.random.default_rng(number)
        shapes = [weight.shape for weight in model.get_layer(LOGITS).get_weights()]
        model.set_weights(body)
        model.get_layer(LOGITS).set_weights([head.standard_normal(shape).astype(np.float32) for shape in shapes])
    return made


@pytest.mark.parametrize(("make", "expected"), [(networks, 3), (probes, 1)])
def test_the_logits_are_the_mean_of_the_members(
    smallest: Smallest, pictures_for: Any, tmp_path: Path, make: Any, expected: int
) -> None:
    import keras

    models = make(smallest("piston_cnn"), 3)
    pictures = pictures_for(models[0])
    mean = np.mean([model.predict_on_batch(pictures) for model in models], axis=0)
    joined = average(models)
    assert n_networks(joined) == expected
    np.testing.assert_allclose(joined.predict_on_batch(pictures), mean, rtol=1e-5, atol=1e-5)

    joined.save(tmp_path / "model.keras")
    check_archive((tmp_path / "model.keras").read_bytes(), "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(loaded.predict_on_batch(pictures), mean, rtol=1e-5, atol=1e-5)
    [given], [answered] = loaded.inputs, loaded.outputs
    assert (tuple(given.shape), str(given.dtype)) == ((None, *pictures.shape[1:]), "uint8")
    assert (tuple(answered.shape), str(answered.dtype)) == ((None, 4), "float32")


def test_loaded_models_can_be_joined(smallest: Smallest, pictures_for: Any, tmp_path: Path) -> None:
    import keras

    models = networks(smallest("piston_cnn"), 2)
    pictures = pictures_for(models[0])
    mean = np.mean([model.predict_on_batch(pictures) for model in models], axis=0)
    files = [tmp_path / f"{number}.keras" for number in range(2)]
    for model, file in zip(models, files, strict=True):
        model.save(file)
    loaded = [keras.saving.load_model(file, compile=False, safe_mode=True) for file in files]
    np.testing.assert_allclose(average(loaded).predict_on_batch(pictures), mean, rtol=1e-5, atol=1e-5)


def test_one_model_is_its_own_mean(smallest: Smallest) -> None:
    [model] = networks(smallest("piston_cnn"), 1)
    assert average([model]) is model
    with pytest.raises(ValueError, match="at least one"):
        average([])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v3_small", "convnext_tiny", "s_cnn_03"])
def test_an_ensemble_of_any_architecture_may_be_loaded(smallest: Smallest, tmp_path: Path, name: str) -> None:
    joined = average(networks(smallest(name), 2))
    assert n_networks(joined) == 2
    joined.save(tmp_path / "model.keras")
    check_archive((tmp_path / "model.keras").read_bytes(), "model.keras")
