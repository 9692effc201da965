"""Contact sheets: whole, inert, and the same for the same findings."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fdsearch.report.contact_sheets import PER_PAGE, Sheet, Shown, pages, thumbnail

NOTHING: dict[str, Any] = {
    **{"n": 0, "classes": {}, "groups": {"source": "none", "n": 0, "proposals": 0}, "group_counts": {}},
    **{"problems": [], "leaks": [], "shortcut_checks": [], "missing_parts": [], "notes": []},
}
"""An audit that found nothing."""

SUMMARY = ["Classes", "Groups"]
"""What the first page says of it."""


def sheets(n: int, section: str = "Parts") -> list[Sheet]:
    return [Sheet(section, f"part {k}", (Shown("", f"{k}a.png", "good"), Shown("", f"{k}b.png"))) for k in range(n)]


@pytest.mark.parametrize(("n", "expected"), [(0, 1), (1, 1), (PER_PAGE, 1), (PER_PAGE + 1, 2), (3 * PER_PAGE, 3)])
def test_every_set_is_on_one_page(n: int, expected: int) -> None:
    found = dict(pages("tiles", {**NOTHING, "notes": ["none"]}, sheets(n)))
    assert list(found) == ["audit.html", "audit-2.html", "audit-3.html"][:expected]
    assert sum(page.count('class="sheet"') for page in found.values()) == n
    assert [page.count("<li>none</li>") for page in found.values()] == [1] + [0] * (expected - 1)
    for name, page in found.items():
        links = re.findall(r'<a href="([^"]+)">', page)
        assert set(links) == (set(found) - {name} if expected > 1 else set())


def test_a_section_that_runs_over_a_page_is_named_on_both() -> None:
    found = dict(pages("tiles", NOTHING, [*sheets(1, "Conflicts"), *sheets(PER_PAGE)]))
    assert [re.findall("<h2>(.*)</h2>", page) for page in found.values()] == [
        [*SUMMARY, "Conflicts", "Parts"],
        ["Parts"],
    ]


@pytest.mark.parametrize("shape", [(9, 12), (300, 200), (1, 900)])
def test_a_thumbnail_is_the_picture_made_small(shape: tuple[int, int]) -> None:
    pixels = np.full(shape, 90, np.uint8)
    head, _, body = thumbnail(pixels).partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert head == "data:image/jpeg;base64" and image.mode == "L" and max(image.size) <= 128
    assert abs(float(np.asarray(image).mean()) - 90) < 3


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_text_stays_text_and_nothing_is_loaded(label: str, name: str) -> None:
    picture = Shown(thumbnail(np.zeros((8, 8), np.uint8)), name, label)
    found = {
        **{**NOTHING, "n": 3, "classes": {label: 3}, "group_counts": {"development": {label: 2}}, "notes": [name]},
        "shortcut_checks": [
            {**{"feature": label, "score": 0.4, "chance": 0.2, "ci": [0.3, 0.5]}, "alarm": True, "reason": name}
        ],
        "missing_parts": [
            {**{"class": label, "role": "holdout", "groups": 1, "wanted": 15, "collect": 66}, "purpose": "a headline"}
        ],
    }
    [(_, page)] = pages(name, found, [Sheet(label, name, (picture,))])
    assert "default-src 'none'" in page
    assert not re.search(
        r"<(?:script|iframe|object|embed|form|link|base)\b|\son\w+\s*=|url\(", re.sub(">[^<]*<", "><", page)
    )
    assert re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,)', page) == []
    [shown] = re.findall(r"(?s)<figcaption>(?:<b>.*?</b>)?(.*?)</figcaption>", page)
    assert unescape(shown.replace("<wbr>", "")) == name


def test_equal_findings_give_equal_bytes() -> None:
    assert list(pages("tiles", NOTHING, sheets(3))) == list(pages("tiles", NOTHING, sheets(3)))
