"""May a version become champion? Its own gates from sealed files, and the paired comparison with today's champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsearch.errors import IntegrityError
from fdsearch.pipeline.agreement import LATENCY
from fdsearch.pipeline.promotion import CHAMPION, compare_answers, compare_sealed, judge_promotion
from fdsearch.registry.draft import Draft
from fdsearch.registry.sealed import Sealed
from fdsearch.registry.store import Registry
from fdsearch.registry.transfer import export_version, import_version
from fdsearch.serving.contract import Contract

CLASSES = ("crack", "free")
N = 60


def answers(share: float, classes: tuple[str, ...] = CLASSES, start: int = 0, n: int = N) -> Sealed:
    """Answers to `n` pictures, two of each part, of which a share of the parts is right."""
    number = np.arange(start, start + n)
    labels = number // 2 % 2
    right = np.random.default_rng(7).permutation(n // 2).repeat(2) < share * n / 2
    logits = np.zeros((n, 2), np.float32)
    logits[np.arange(n), np.where(right, labels, 1 - labels)] = 3.0
    content = np.array([f"{each:064x}" for each in number])
    parts = np.array([f"part-{each // 2}" for each in number])
    if classes != CLASSES:
        labels, logits = 1 - labels, logits[:, ::-1]
    return Sealed(content, parts, labels, logits, classes)


def export(milliseconds: float | None, **told: Any) -> dict[str, Any]:
    row = {"file": "model.onnx", "opset": 17, "max_difference": 1e-6, "tolerance": 1e-4, "decision_changes": 0}
    return {**row, "passes": True, "why": None, "batch_1_ms": milliseconds, "batch_32_per_s": 9.0, **told}


def exports(*rows: dict[str, Any], machine: str = "line 3") -> dict[str, Any]:
    measured = {"machine": machine, "cores": 2, "versions": {"onnxruntime": "1"}}
    named = dict(zip(("onnx", "litert"), rows, strict=False))
    return {"format": 1, "golden": {"n": 32}, "measured_on": measured, "exports": named}


class Shelf:
    """A registry of one model, and a short way to put versions into it."""

    def __init__(self, root: Path) -> None:
        self.registry, self.root, self.n = Registry(root / "registry"), root, 0

    def add(
        self,
        sealed: Sealed | None = None,
        *,
        figures: dict[str, Any] | None = None,
        gates: dict[str, float] | None = None,
        exported: dict[str, Any] | None = None,
        developed: list[str] | None = None,
        promised: float | None = None,
    ) -> int:
        self.n += 1
        folder = self.root / f"draft-{self.n}"
        folder.mkdir()
        (folder / "model.keras").write_bytes(b"%d" % self.n)
        (folder / "card.md").write_text("# Card\n")
        (folder / "metrics.json").write_text(json.dumps(figures or {}))
        rule = {"pass_threshold": 0.9, "unit": "group", "max_escape_rate": promised} if promised else None
        contract = {"input": {"size": 16, "resize": "pad"}, "classes": CLASSES, "decision": rule}
        Contract.model_validate({**contract, "calibration": {"temperature": 1.0, "bias": [0.0, 0.0]}}).write(
            folder / "contract.json"
        )
        development = np.array(developed or [f"{number:064x}" for number in range(500, 504)])
        n = len(development)
        rows = {"rows": np.arange(n), "labels": np.zeros(n, np.int64), "content": development}
        np.savez(folder / "oof.npz", logits=np.zeros((1, n, 2), np.float32), **rows)
        if sealed is not None:
            sealed.write(folder)
        if exported is not None:
            (folder / "exports.json").write_text(json.dumps(exported))
            (folder / "model.onnx").write_bytes(b"exported")
        return self.registry.register("tiles", Draft(folder, {"gates": gates or {}}), "test").version

    def crown(self, version: int) -> None:
        self.registry.promote("tiles", version, by="kim", reason="test")

    def judge(self, version: int) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in judge_promotion(self.registry, "tiles", version)}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_the_first_version_has_nobody_to_beat(shelf: Shelf) -> None:
    version = shelf.add(answers(0.9))
    assert shelf.judge(version) == {}
    shelf.crown(version)
    assert shelf.judge(version) == {}


def test_own_gates_are_judged_from_sealed_files(shelf: Shelf) -> None:
    good = {"headline": {"value": 0.8, "ci": [0.7, 0.9]}}
    asked = {"min_macro_f1": 0.6, "max_escape_rate": 0.1, "max_latency_ms": 10.0}
    holds = shelf.add(figures=good, gates=asked, promised=0.05, exported=exports(export(4.0), export(8.0)))
    assert {name: row["holds"] for name, row in shelf.judge(holds).items()} == {
        **dict.fromkeys(asked, True),
        "export_parity": True,
    }
    fails = shelf.add(gates=asked, exported=exports(export(40.0), export(1.0, passes=False, why="it differs by 0.2")))
    rows = shelf.judge(fails)
    assert not any(row["holds"] for row in rows.values()) and len(rows) == 4
    assert "it differs by 0.2" in rows["export_parity"]["why"]


def test_what_was_judged_before_and_cannot_be_again_still_counts(shelf: Shelf) -> None:
    """Versions of before name no gates, and a bound of the search is no gate of the registry."""
    version = shelf.add()
    slow = {"name": LATENCY, "figure": 40.0, "threshold": 10.0, "holds": False, "why": "5 networks"}
    stale = {"name": CHAMPION, "figure": None, "threshold": 0.0, "holds": False, "why": "of another champion"}
    shelf.registry.record_evaluated("tiles", version, [slow, stale])
    assert shelf.judge(version) == {LATENCY: slow}
    both = shelf.add(gates={"max_latency_ms": 10.0}, exported=exports(export(4.0)))
    shelf.registry.record_evaluated("tiles", both, [slow])
    assert {name: row["holds"] for name, row in shelf.judge(both).items()} == {
        "max_latency_ms": True,
        "export_parity": True,
        LATENCY: False,
    }


@pytest.mark.parametrize(
    ("shares", "holds", "says"),
    [((0.6, 1.0), True, "better"), ((1.0, 0.6), False, "worse"), ((0.8, 0.8), False, "tied")],
)
def test_a_challenger_must_be_better_on_the_same_sealed_parts(
    shelf: Shelf, shares: tuple[float, float], holds: bool, says: str
) -> None:
    champion, challenger = (shelf.add(answers(share)) for share in shares)
    shelf.crown(champion)
    gate = shelf.judge(challenger)[CHAMPION]
    assert gate["holds"] is holds and gate["why"].startswith(says)
    found = gate["comparison"]
    assert (found["champion"], found["parts"], found["pictures"]) == (champion, N // 2, N)
    assert gate["figure"] == found["ci"][0] and found["why"] is None
    json.dumps(gate, allow_nan=False)


@pytest.mark.parametrize(
    ("theirs", "mine", "holds", "says"),
    [
        (exports(export(20.0)), exports(export(5.0)), True, "5.0 ms for a picture instead of 20.0"),
        (exports(export(20.0)), exports(export(19.0)), False, "not clearly less"),
        (exports(export(20.0)), exports(export(5.0), machine="elsewhere"), False, "different machines"),
        (exports(export(20.0)), exports(export(None)), False, "not known"),
        (None, exports(export(5.0)), False, "not known"),
    ],
)
def test_tied_and_cheaper_is_enough(
    shelf: Shelf, theirs: dict[str, Any] | None, mine: dict[str, Any], holds: bool, says: str
) -> None:
    champion, challenger = shelf.add(answers(0.8), exported=theirs), shelf.add(answers(0.8), exported=mine)
    shelf.crown(champion)
    gate = shelf.judge(challenger)[CHAMPION]
    assert gate["holds"] is holds and says in gate["why"]


def test_worse_and_cheaper_is_not(shelf: Shelf) -> None:
    champion = shelf.add(answers(1.0), exported=exports(export(20.0)))
    challenger = shelf.add(answers(0.6), exported=exports(export(1.0)))
    shelf.crown(champion)
    assert not shelf.judge(challenger)[CHAMPION]["holds"]


def test_a_figure_that_cannot_be_given_does_not_hold(shelf: Shelf) -> None:
    champion = shelf.add(answers(0.6))
    shelf.crown(champion)
    unsealed, elsewhere, few = shelf.add(), shelf.add(answers(1.0, start=1000)), shelf.add(answers(1.0, n=8))
    for version, says in ((unsealed, "share no sealed picture"), (elsewhere, "share no"), (few, "needs 5 groups")):
        gate = shelf.judge(version)[CHAMPION]
        assert gate["figure"] is None and not gate["holds"] and says in gate["why"]


def test_who_decides_without_an_interval_is_told_what_chance_gives(shelf: Shelf) -> None:
    """It claims nothing: a model that lost a rare class altogether may show a small share as well."""
    champion, challenger = shelf.add(answers(0.0, n=16)), shelf.add(answers(1.0, n=16))
    shelf.crown(champion)
    gate = shelf.judge(challenger)[CHAMPION]
    assert gate["comparison"]["ci"] is None and gate["comparison"]["chance"] == 2**-8
    assert not gate["holds"] and "gain of +1.000 on 8 parts (of random exchanges of their answers 0.39 %" in gate["why"]


def test_a_part_that_either_was_trained_on_is_left_out(shelf: Shelf) -> None:
    champion = shelf.add(answers(0.6), developed=[f"{0:064x}"])
    challenger = shelf.add(answers(1.0), developed=[f"{5:064x}"])
    found = compare_sealed(*(shelf.registry.version("tiles", number) for number in (challenger, champion)))
    assert found is not None
    assert (found["parts"], found["pictures"]) == (N // 2 - 2, N - 4)


def test_classes_are_matched_by_name() -> None:
    same = compare_answers(answers(0.9), answers(0.9, classes=CLASSES[::-1]))
    assert same is not None and same["gain"] == 0.0
    assert compare_answers(answers(0.9), answers(0.9, classes=("crack", "hole"))) is None


def test_what_was_compared_on_the_day_counts_while_its_champion_stays(shelf: Shelf) -> None:
    champion = shelf.add(answers(0.9))
    manifest = shelf.registry.state("tiles").manifests[champion]
    found = {
        "champion": champion,
        "manifest": manifest,
        "parts": 99,
        "pictures": 200,
        "gain": 0.2,
        "ci": [0.1, 0.3],
        "why": None,
    }
    challenger, other = shelf.add(answers(0.6), figures={"comparison": found}), shelf.add(answers(0.5))
    shelf.crown(champion)
    assert shelf.judge(challenger)[CHAMPION]["comparison"] == found
    nothing = shelf.add(answers(0.6), figures={"comparison": {**found, "gain": None, "ci": None, "why": "no pictures"}})
    assert shelf.judge(nothing)[CHAMPION]["comparison"]["parts"] == N // 2
    shelf.crown(other)
    assert shelf.judge(challenger)[CHAMPION]["comparison"]["champion"] == other


def test_a_comparison_with_another_registrys_champion_is_none(shelf: Shelf, tmp_path: Path) -> None:
    """Version 1 of where an archive comes from is not version 1 here."""
    (tmp_path / "elsewhere").mkdir()
    elsewhere = Shelf(tmp_path / "elsewhere")
    theirs = elsewhere.add(answers(0.1))
    found = {"champion": theirs, "parts": 99, "pictures": 200, "gain": 0.2, "ci": [0.1, 0.3], "why": None}
    found["manifest"] = elsewhere.registry.state("tiles").manifests[theirs]
    sent = elsewhere.add(answers(0.6), figures={"comparison": found})
    export_version(elsewhere.registry.version("tiles", sent), tmp_path / "tiles.zip")
    shelf.crown(shelf.add(answers(0.9)))
    import_version(shelf.registry.root, tmp_path / "tiles.zip", by="lee")
    gate = shelf.judge(sent)[CHAMPION]
    assert not gate["holds"] and gate["comparison"]["parts"] == N // 2


@pytest.mark.parametrize("gates", [7, {"min_macro_f1": "high"}, {"min_makro_f1": 0.5}])
def test_gates_that_are_none_are_an_integrity_question(shelf: Shelf, gates: Any) -> None:
    """An imported version may name anything."""
    with pytest.raises(IntegrityError, match="cannot be read"):
        shelf.judge(shelf.add(gates=gates))


def test_what_is_no_number_is_no_figure(shelf: Shelf) -> None:
    shelf.crown(shelf.add(answers(0.6)))
    with pytest.raises(IntegrityError, match="NaN is no number"):
        shelf.judge(shelf.add(answers(0.6), figures={"headline": {"value": 0.5, "ci": [float("nan"), 1.0]}}))


def test_a_damaged_champion_can_be_replaced_by_force_alone(shelf: Shelf) -> None:
    champion, challenger = shelf.add(answers(0.6)), shelf.add(answers(1.0))
    shelf.crown(champion)
    (shelf.registry.version("tiles", champion).path / "holdout.npz").write_bytes(b"other")
    rows = judge_promotion(shelf.registry, "tiles", challenger)
    assert [row["holds"] for row in rows] == [False] and "cannot be compared" in rows[0]["why"]
    shelf.registry.promote("tiles", challenger, by="kim", reason="the champion is damaged", gates=rows, force=True)
    assert shelf.registry.state("tiles").champion == challenger


@pytest.mark.parametrize(
    "told", [{"made_of": {"model.keras": "0" * 64}}, {"exports": {"litert": export(1.0, file="model.tflite")}}]
)
def test_exports_of_another_model_do_not_become_champion(shelf: Shelf, told: dict[str, Any]) -> None:
    """Nothing would load them, so the line would stand still after the promotion."""
    with pytest.raises(IntegrityError, match="not those of this version"):
        shelf.judge(shelf.add(exported={**exports(export(1.0)), **told}))


@pytest.mark.parametrize("name", ["metrics.json", "contract.json", "exports.json", "holdout.npz", "oof.npz"])
def test_a_damaged_challenger_is_no_question_of_gates(shelf: Shelf, name: str) -> None:
    champion, challenger = (shelf.add(answers(0.6), exported=exports(export(1.0))) for _ in range(2))
    shelf.crown(champion)
    (shelf.registry.version("tiles", challenger).path / name).write_bytes(b"[]")
    with pytest.raises(IntegrityError):
        shelf.judge(challenger)


@pytest.mark.parametrize("figures", [[1], {"headline": 5}, {"headline": {"ci": "x"}}, {"comparison": 7}])
def test_figures_that_are_none_are_an_integrity_question(shelf: Shelf, figures: Any) -> None:
    champion = shelf.add(answers(0.6))
    shelf.crown(champion)
    with pytest.raises(IntegrityError):
        shelf.judge(shelf.add(answers(0.6), figures=figures, gates={"min_macro_f1": 0.5}))
