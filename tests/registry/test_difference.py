"""``registry diff``: what differs between two versions, and the pictures about which they decide otherwise."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tampering import with_file

from fdsearch.errors import IntegrityError
from fdsearch.registry.difference import difference
from fdsearch.registry.draft import Draft
from fdsearch.registry.flips import flips
from fdsearch.registry.sealed import HOLDOUT, Sealed
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion

CLASSES = ("crack", "free")
Version = Callable[..., ModelVersion]


def contract(threshold: float = 0.9, classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    return {
        "classes": list(classes),
        "pass_classes": ["free"],
        "calibration": {"temperature": 1.0, "bias": [0.0] * len(classes)},
        "decision": {"pass_threshold": threshold, "unit": "group"},
    }


@pytest.fixture
def version(registry: Registry, make_draft: Callable[..., Draft]) -> Version:
    """Registers a version of ``tiles`` that has answered some pictures (name: (part, true class, logit of free))."""

    def version(
        pictures: dict[str, tuple[str, int, float]],
        rule: dict[str, Any] | None = None,
        metrics: dict[str, Any] | None = None,
        **lineage: Any,
    ) -> ModelVersion:
        draft = make_draft()
        parts, labels, free = (np.array(column) for column in zip(*pictures.values(), strict=True))
        logits = np.column_stack([-free, free]).astype(np.float32)
        names = np.array(list(pictures))
        Sealed(np.char.add(names, "#"), parts, labels, logits, CLASSES, names).write(draft.folder)
        (draft.folder / "contract.json").write_text(json.dumps(rule or contract()))
        (draft.folder / "metrics.json").write_text(json.dumps(metrics or {}))
        return registry.register("tiles", replace(draft, lineage={**draft.lineage, **lineage}), "test")

    return version


PICTURES = {"a": ("p1", 1, 3.0), "b": ("p1", 1, 3.0), "c": ("p2", 0, -3.0), "d": ("p3", 1, 0.5)}


def rows(found: list[dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    return {row["name"]: (row["a"], row["b"]) for row in found}


def test_only_what_differs_is_said(version: Version) -> None:
    a = version(PICTURES, params={"dropout": 0.1, "epochs": 8}, data={"digest": "ab"}, trial=7)
    b = version(PICTURES, contract(0.8), params={"dropout": 0.3, "epochs": 8, "warmup": 1}, data={"digest": "cd"})
    found = difference(a, b)
    assert (found["a"]["reference"], found["b"]["reference"]) == ("tiles:0001", "tiles:0002")
    assert rows(found["parameters"]) == {"params.dropout": (0.1, 0.3), "params.warmup": (None, 1)}
    assert rows(found["data"]) == {"data.digest": ("ab", "cd")}
    assert rows(found["policy"]) == {"decision.pass_threshold": (0.9, 0.8)}
    assert rows(found["files"]).keys() == {"contract.json"}
    assert found["origin"] == []
    json.dumps(found, allow_nan=False)


def test_a_version_does_not_differ_from_itself(version: Version) -> None:
    a = version(PICTURES)
    found = difference(a, a)
    assert not any(found[key] for key in ("parameters", "data", "origin", "policy", "files"))
    assert found["decisions"]["holdout"]["n_flipped"] == 0


def test_scores_stand_side_by_side_with_intervals_and_reasons(version: Version) -> None:
    headline = {"value": 0.8, "ci": [0.7, 0.9], "level": "95 %", "why": ""}
    found = difference(
        version(PICTURES, metrics={"headline": headline, "holdout": {"macro_f1": 0.7, "why": "3 parts"}}),
        version(PICTURES, metrics={}),
    )
    scores = rows(found["scores"])
    assert scores["headline"][0] == {"value": 0.8, "ci": [0.7, 0.9], "level": "95 %", "why": None}
    assert scores["headline"][1]["why"] == "it was not computed"
    assert scores["holdout"][0] == {"value": 0.7, "ci": None, "level": None, "why": "3 parts"}


def test_flips_are_those_of_the_part_and_of_the_label(version: Version) -> None:
    a = version(PICTURES)
    b = version({**PICTURES, "b": ("p1", 1, 0.2), "c": ("p2", 0, 3.0)})
    found = flips(a, b, HOLDOUT)
    assert (found["n"], found["n_flipped"], found["n_relabelled"]) == (4, 3, 1)
    by_name = {row["filename"]: row for row in found["pictures"]}
    # The worst picture decides about the part, so `a` flips with `b`.
    assert by_name["a"] == {
        "content": "a#",
        "filename": "a",
        "true": "free",
        "a": {"label": "free", "decision": "pass"},
        "b": {"label": "free", "decision": "review"},
    }
    assert [by_name["c"][side]["decision"] for side in ("a", "b")] == ["reject", "pass"]
    assert by_name.keys() == {"a", "b", "c"}


def test_a_threshold_alone_flips_decisions(version: Version) -> None:
    found = flips(version(PICTURES), version(PICTURES, contract(0.7)), HOLDOUT)
    assert [row["filename"] for row in found["pictures"]] == ["d"]
    assert found["n_relabelled"] == 0


def test_pictures_are_found_by_their_content_in_any_order(version: Version) -> None:
    few = dict(reversed([(name, PICTURES[name]) for name in ("a", "c")]))
    found = flips(version(PICTURES), version({**few, "new": ("p9", 1, 1.0)}), HOLDOUT)
    assert (found["n"], found["pictures"]) == (2, [])


def test_what_cannot_be_compared_says_why(version: Version, filled: Registry) -> None:
    a = version(PICTURES)
    assert "tiles:0001 holds no answers" in flips(filled.version("tiles", 1), a, HOLDOUT)["why"]
    assert "in common" in flips(a, version({"x": ("p", 1, 1.0)}), HOLDOUT)["why"]
    assert "could be told" in flips(a, a, "oof.npz")["why"], "predictions of before name no pictures"


def test_out_of_fold_the_first_repeat_counts_and_only_what_was_predicted(
    registry: Registry, make_draft: Callable[..., Draft]
) -> None:
    def registered(logits: list[list[list[float]]]) -> ModelVersion:
        draft = make_draft()
        ids = np.arange(3)
        np.savez(
            draft.folder / "oof.npz",
            logits=np.array(logits, np.float32),
            rows=ids,
            labels=np.array([0, 1, 1]),
            groups=ids,
            content=ids.astype("U64"),
        )
        (draft.folder / "contract.json").write_text(json.dumps(contract()))
        return registry.register("tiles", draft, "test")

    nan = float("nan")
    a = registered([[[3, -3], [-3, 3], [nan, nan]], [[-3, 3], [-3, 3], [-3, 3]]])
    b = registered([[[3, -3], [3, -3], [-3, 3]]])
    found = flips(a, b, "oof.npz")
    assert (found["n"], [row["content"] for row in found["pictures"]]) == (2, ["1"])


def pickled() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, content=np.array([{"code": "here"}], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("broken", [pickled(), b"no archive"], ids=["a pickle", "no archive"])
def test_broken_answers_exit_5(version: Version, broken: bytes, tmp_path: Path) -> None:
    """A version whose hashes agree may still hold anything, so nothing in it is trusted."""
    a = version(PICTURES)
    copied = with_file(a.path, tmp_path / "copy", HOLDOUT, broken)
    with pytest.raises(IntegrityError, match="cannot be read"):
        difference(a, ModelVersion.open(copied))


@pytest.mark.parametrize("rule", [{"classes": ["a"]}, {**contract(), "calibration": {"temperature": "x", "bias": []}}])
def test_a_contract_that_decides_nothing_exits_5(version: Version, rule: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        difference(version(PICTURES), version(PICTURES, rule))
