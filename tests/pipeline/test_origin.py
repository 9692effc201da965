"""What a version was made from is read from its sealed files, or refused with everything that is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsearch.errors import ConfigError, IntegrityError
from fdsearch.files import digest_file
from fdsearch.pipeline.origin import Origin, OutOfFold
from fdsearch.registry.manifest import seal
from fdsearch.trial import TrialConfig

CONFIG = TrialConfig.from_params({"phases": "probe", "image_size": 64})
LINEAGE: dict[str, Any] = {
    "study": "tiles",
    "config": CONFIG.to_json(),
    "random_state": {"search": 0, "split": 1},
    "data": {"digest": "a", "labels": "b", "groups": "c"},
    "plugins": [],
    "definition": "d",
}


def sealed(folder: Path, lineage: dict[str, Any], **arrays: Any) -> Path:
    np.savez(folder / "oof.npz", **arrays)
    seal(folder, "tiles", 3, lineage)
    return folder


def test_a_version_says_what_it_was_made_from(tmp_path: Path) -> None:
    origin = Origin.of(str(sealed(tmp_path, LINEAGE)), tmp_path / "root")
    assert (origin.study, origin.config, origin.params) == ("tiles", CONFIG, {})
    digest = digest_file(tmp_path / "manifest.json")
    assert origin.to_json() == {"name": "tiles", "version": 3, "manifest": digest}
    assert origin.label == f"0003-{digest[:8]}"
    assert origin.differences("d") == []
    assert origin.differences("e") == ["the definition of study tiles is not that which the version was made under"]


def test_everything_that_is_missing_is_named(tmp_path: Path) -> None:
    lineage = {key: value for key, value in LINEAGE.items() if key not in ("config", "data")}
    with pytest.raises(ConfigError, match="cannot be made again") as caught:
        Origin.of(str(sealed(tmp_path, lineage)), tmp_path / "root")
    assert [fault.where.rpartition("$")[2] for fault in caught.value.faults] == [".lineage.config", ".lineage.data"]


@pytest.mark.parametrize("study", ["../../elsewhere", "/etc/study.yaml", ""])
def test_a_study_is_named_and_never_a_path(tmp_path: Path, study: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Origin.of(str(sealed(tmp_path, {**LINEAGE, "study": study})), tmp_path / "root")
    assert [fault.where.rpartition("$")[2] for fault in caught.value.faults] == [".lineage.study"]


@pytest.mark.parametrize("change", [{"later": 1}, {"phases": [{"name": "probe", "later": 1}]}])
def test_a_configuration_of_a_later_fdsearch_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    config = {**CONFIG.to_json(), **change}
    with pytest.raises(ConfigError) as caught:
        Origin.of(str(sealed(tmp_path, {**LINEAGE, "config": config})), tmp_path / "root")
    assert "later" in caught.value.faults[0].got


def test_plugins_are_known_by_their_content(tmp_path: Path) -> None:
    own, other = tmp_path / "own.py", tmp_path / "other.py"
    own.write_text("A = 1\n")
    other.write_text("A = 2\n")
    folder = tmp_path / "version"
    folder.mkdir()
    origin = Origin.of(str(sealed(folder, {**LINEAGE, "plugins": [digest_file(own)]})), tmp_path)
    origin.check_plugins([own])
    with pytest.raises(ConfigError) as caught:
        origin.check_plugins([other])
    assert [fault.where for fault in caught.value.faults] == ["--plugin", str(other)]


def test_predictions_of_before_do_not_name_their_pictures(tmp_path: Path) -> None:
    arrays = {"logits": np.zeros((1, 2, 3)), "rows": np.arange(2), "labels": np.zeros(2, np.int64)}
    origin = Origin.of(str(sealed(tmp_path, LINEAGE, **arrays)), tmp_path)
    assert OutOfFold.of(origin.version).content is None


def test_predictions_that_are_none_are_refused(tmp_path: Path) -> None:
    origin = Origin.of(str(sealed(tmp_path, LINEAGE, weights=np.zeros(3))), tmp_path)
    with pytest.raises(IntegrityError, match="predictions"):
        OutOfFold.of(origin.version)
