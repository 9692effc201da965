"""What a finished run leaves behind about novelty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fdsearch.serving.contract import Contract
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.reference import Reference

if TYPE_CHECKING:
    from conftest import Finished


def test_a_version_tells_what_its_frozen_layers_see_and_why_it_has_no_threshold(
    finished: Finished, tmp_path: Path
) -> None:
    [version] = finished.root.glob("registry/*/versions/0001")
    contract = Contract.parse((version / "contract.json").read_bytes(), "contract.json")
    rule = contract.novelty
    assert contract.format == 3 and rule is not None
    # Ten or so regular parts can carry no rate of 5 %: nothing is claimed, and the embedding is there for drift.
    assert rule.threshold is None and rule.why is not None and "19 regular parts" in rule.why
    known = Reference.parse((version / "reference.npz").read_bytes(), "reference.npz")
    assert known.embedding is not None and len(known.labels) == len(known.traits)
    assert not (version / "novelty.npz").exists()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / "new.png")
    exports = json.loads((version / "exports.json").read_text())["exports"]
    for format in (name for name, export in exports.items() if export["passes"]):
        predictor = Predictor.load(version, format=format)
        answer = predictor.run(predictor.decode(tmp_path / "new.png")[np.newaxis])
        assert answer.embedding is not None and answer.embedding.shape == (1, rule.dimensions)
        [told] = predictor.predict([tmp_path / "new.png"])
        assert told.novelty is None and told.novelty_why == rule.why
