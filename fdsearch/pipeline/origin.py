"""What a registered version was made from, read back from its sealed files.

`refitting` trains it on today's data, `reproducing` once more on the same; the lineage is written by `bundle`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.dataset import Dataset
from fdsearch.errors import ConfigError, Fault, IntegrityError
from fdsearch.files import digest_file
from fdsearch.registry.arrays import read_arrays
from fdsearch.registry.draft import PREDICTIONS
from fdsearch.registry.manifest import MANIFEST
from fdsearch.registry.provenance import code_digest, package_versions
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.spelling import NAME_PATTERN
from fdsearch.trial import TrialConfig
from fdsearch.workspace import Workspace

_KEYS = {"study", "config", "random_state", "data", "plugins"}


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a version comes from.

    Parameters
    ----------
    version : ModelVersion
    config : TrialConfig
        What was trained.
    """

    version: ModelVersion
    config: TrialConfig

    @classmethod
    def of(cls, reference: str, root: Path) -> Origin:
        """Look a version up in the registry under a root, or in a folder.

        Raises
        ------
        ConfigError
            If there is no such version, or it does not say what it was made from.
        IntegrityError
            If its manifest or the log is not as it was written.
        """
        version = Registry(Workspace(root.resolve()).registry).resolve(reference)
        said, where = version.manifest.lineage, f"{version.path / MANIFEST}: $.lineage"
        fix = "a version that `fdsearch run` has registered says all of it"
        faults = [
            Fault(f"{where}.{key}", "nothing", "what the version was made from", fix)
            for key in sorted(_KEYS - said.keys())
        ]
        if not faults and not re.fullmatch(NAME_PATTERN, str(said["study"])):  # it becomes part of a path
            faults = [Fault(f"{where}.study", repr(said["study"])[:100], "the name of a study", fix)]
        if not faults:
            try:
                return cls(version, TrialConfig.from_json(said["config"]))
            except (TypeError, ValueError, KeyError) as error:
                made = f"use fdsearch {version.manifest.packages.get('fdsearch', 'that registered it')}"
                faults = [Fault(f"{where}.config", str(error), "a configuration of this fdsearch", made)]
        raise ConfigError(f"{version.reference} cannot be made again", faults)

    @property
    def lineage(self) -> Mapping[str, Any]:
        return self.version.manifest.lineage

    @property
    def study(self) -> str:
        return str(self.lineage["study"])

    @property
    def params(self) -> dict[str, Any]:
        """Flat parameters of the trial, empty where it had none."""
        return dict(self.lineage.get("params") or {})

    @property
    def manifest_digest(self) -> str:
        """SHA-256 of the manifest, which names one version among all that share a number on different machines."""
        return self.version.manifest_digest

    @property
    def label(self) -> str:
        """Name of a folder for what is made from this version."""
        return f"{self.version.version:04d}-{self.manifest_digest[:8]}"

    def to_json(self) -> dict[str, Any]:
        """What the lineage of a version that was made from this one says of it."""
        return {"name": self.version.name, "version": self.version.version, "manifest": self.manifest_digest}

    def check_plugins(self, plugins: Iterable[Path]) -> None:
        """Refuse to go on without the very plugins that the version was made with.

        Raises
        ------
        ConfigError
        """
        given, wanted = {digest_file(path): path for path in plugins}, set(self.lineage["plugins"])
        faults = [
            Fault("--plugin", "no such file", f"the file with SHA-256 {digest[:12]}...", "give it with --plugin")
            for digest in sorted(wanted - given.keys())
        ]
        faults += [
            Fault(str(path), "other content", "a plugin that the version was made with", "leave it out")
            for digest, path in given.items()
            if digest not in wanted
        ]
        if faults:
            raise ConfigError(f"{self.version.reference} was made with other plugins", faults)

    def changed_data(self, dataset: Dataset) -> dict[str, tuple[str, str]]:
        """Digests of then and of now, of what is not as the version was made from: pictures, labels, parts."""
        now = {"pictures": dataset.digest, "labels": dataset.label_digest, "parts": dataset.group_digest}
        said = self.lineage["data"]
        then = {"pictures": said["digest"], "labels": said["labels"], "parts": said["groups"]}
        return {name: (then[name], digest) for name, digest in now.items() if digest != then[name]}

    def differences(self, definition: str) -> list[str]:
        """What is not as it was when the version was made, one sentence each.

        Parameters
        ----------
        definition : str
            Digest of today's definition of the study.
        """
        made, now = self.version.manifest.packages, package_versions()
        names = sorted(name for name in {*made, *now} if made.get(name) != now.get(name))
        notes = [f"{name} was {made.get(name, 'absent')} and is {now.get(name, 'absent')}" for name in names]
        if self.version.manifest.code != code_digest():
            notes.append("the code of fdsearch is not that which made the version")
        if self.lineage.get("definition") != definition:
            notes.append(f"the definition of study {self.study} is not that which the version was made under")
        return notes


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """A version's sealed predictions of its development pictures.

    Parameters
    ----------
    logits : ndarray of float32, shape (n_repeats, n, n_classes)
        NaN where a repeat predicted nothing.
    rows, labels : ndarray of int64, shape (n,)
        Row of each picture in the data of then, and its class.
    content : tuple of str or None
        SHA-256 of each picture's file; None of a version from before this was kept.
    """

    logits: NDArray[np.float32]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    content: tuple[str, ...] | None

    @classmethod
    def of(cls, version: ModelVersion) -> OutOfFold:
        """Read a version's ``oof.npz``.

        Raises
        ------
        IntegrityError
            If it is not as it was written.
        """
        try:
            arrays = read_arrays(version.read(PREDICTIONS))
            content = tuple(arrays["content"].tolist()) if "content" in arrays else None
            return cls(arrays["logits"], arrays["rows"], arrays["labels"], content)
        except (ValueError, KeyError) as error:
            fault = Fault(str(version.path / PREDICTIONS), str(error), "out-of-fold predictions", "restore the folder")
            raise IntegrityError("the predictions of a version cannot be read", [fault]) from error
