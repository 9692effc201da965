"""Figures about trust: drawn from numbers alone, with gaps where a number cannot be given."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from trusted import BINS, CURVE, trusted

from fdsearch.report.trust_figures import reliability, shortcuts, trade_off

PREFIX = "data:image/svg+xml;base64,"


def size(uri: str | None) -> tuple[float, float]:
    """Width and height of a drawing, points."""
    assert uri is not None and uri.startswith(PREFIX)
    root = ET.fromstring(base64.b64decode(uri.removeprefix(PREFIX)))
    assert root.tag.endswith("svg")
    return float(root.attrib["width"].removesuffix("pt")), float(root.attrib["height"].removesuffix("pt"))


@pytest.mark.parametrize("bins", [{"before": BINS, "after": BINS}, {"before": BINS, "after": None}, {"before": BINS}])
def test_reliability_is_drawn_as_far_as_it_is_known(bins: dict[str, Any]) -> None:
    size(reliability(bins))


def test_without_bins_there_is_no_diagram() -> None:
    assert reliability({}) is None
    assert reliability({"before": [], "after": None}) is None


def test_each_mix_of_classes_has_a_panel() -> None:
    one, two = trade_off({"training": CURVE, "line": None}, 0.97), trade_off({"training": CURVE, "line": CURVE})
    assert size(two)[0] == pytest.approx(2 * size(one)[0])
    assert trade_off({}) is None and trade_off({"training": [], "line": None}) is None


@pytest.mark.parametrize("rows", [CURVE[:1], [{"threshold": 1.0}], [{"threshold": 0.5, "review": 0.5}]])
def test_a_curve_may_have_gaps_and_one_row(rows: list[dict[str, Any]]) -> None:
    size(trade_off({"training": rows}, 0.5))


def test_every_feature_has_its_line() -> None:
    checks = trusted()["audit"]["shortcut_checks"]
    assert size(shortcuts(checks * 10))[1] > size(shortcuts(checks))[1]
    size(shortcuts([{"score": 0.2, "chance": 0.1, "ci": None}]))
    assert shortcuts([]) is None


def test_names_never_reach_a_figure() -> None:
    plain, evil = (trusted(name)["audit"]["shortcut_checks"] for name in ("format", "$\\frac{"))
    assert shortcuts(plain) == shortcuts(evil)
