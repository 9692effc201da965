"""The page in a real browser: a picture is dropped, chosen or sent again, and what it says is what the service said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from browser import Browser
from running import Running

from fdsearch.progress import Silent
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Calibration, Contract
from fdsearch.serving.following import Follower

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.PROGRAM is None, reason=browser.MISSING),
]

MAPPED = "!document.getElementById('map').hidden"
TOLD = "!document.getElementById('decision').hidden"
TOKEN = "a-token-of-some-length"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Browser]:
    (tmp_path / "browser").mkdir()
    with Browser(tmp_path / "browser") as page:
        yield page


@pytest.fixture
def follower(register: Callable[..., ModelVersion], contract: Contract, tmp_path: Path) -> Follower:
    # Random weights know little: at such a temperature they are sure of it, and hiding a place changes their mind.
    sure = Calibration(temperature=0.05, bias=contract.calibration.bias)
    register(contract=contract.model_copy(update={"calibration": sure}))
    return Follower("tiles:1", tmp_path / "registry", None, Silent())


def text(page: Browser, name: str) -> Any:
    return page.evaluate(f"document.getElementById('{name}').textContent")


def test_a_real_picture_is_dropped(page: Browser, follower: Follower, shared_data: Path, tmp_path: Path) -> None:
    picture = shared_data / "magnetic_tile" / "images" / "exp1_num_249594.jpg"
    with Running(follower) as service:
        page.open(service.url)
        page.wait_for("service")
        page.drop(picture, 600, 200)
        page.wait_for(MAPPED)
        told = service.predict([picture]).json()["predictions"][0]
    assert text(page, "verdict").lower() == told["decision"]
    rows = page.evaluate("[...document.querySelectorAll('#classes tr')].map((row) => row.innerText)")
    assert sorted(row.split()[0] for row in rows) == sorted(told["probabilities"])
    assert rows[0].startswith(max(told["probabilities"], key=told["probabilities"].__getitem__))
    assert page.evaluate("document.querySelector('tr.label th').firstChild.data") == told["label"]
    painted = "[...document.getElementById('map').getContext('2d').getImageData(0, 0, 480, 480).data]"
    assert page.evaluate(f"{painted}.filter((value, index) => index % 4 === 3 && value > 0).length") > 0
    assert json.loads(text(page, "answer"))["model"] == {"name": "tiles", "version": 1, "format": "keras"}
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000
    elsewhere = [url for url in page.requested if not url.startswith((service.url, f"blob:{service.url}", "data:"))]
    assert not elsewhere


def test_it_is_used_by_keyboard_and_on_a_phone(page: Browser, follower: Follower, pictures: list[Path]) -> None:
    hostile = pictures[0].with_name("<img src=x onerror=document.title='run'>.png")
    pictures[0].rename(hostile)
    page.resize(390, 844, mobile=True)
    with Running(follower) as service:
        page.open(service.url)
        page.wait_for("service")
        page.press("Tab", 9)
        assert page.evaluate("document.activeElement.id") == "file"
        page.choose("#file", hostile)
        page.wait_for(MAPPED)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.getElementById('picture').alt") == hostile.name
    assert page.evaluate("document.title") == "tiles · fdsearch"
    page.evaluate("document.getElementById('show').focus()")
    page.evaluate("document.getElementById('show').click()")
    assert page.evaluate("document.getElementById('map').style.opacity") == "0"


def test_what_is_no_picture_is_said(page: Browser, follower: Follower, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    with Running(follower) as service:
        page.open(service.url)
        page.wait_for("service")
        page.drop(tmp_path / "notes.png", 600, 200)
        page.wait_for("!document.getElementById('problem').hidden")
        assert "notes.png: bytes of no known format" in text(page, "problem")
        page.drop(pictures[0], 600, 200)
        page.wait_for(TOLD)
        assert page.evaluate("document.getElementById('problem').hidden")


def test_it_asks_for_the_token(page: Browser, follower: Follower, pictures: list[Path]) -> None:
    with Running(follower, token=TOKEN) as service:
        page.open(service.url)
        page.wait_for("!document.getElementById('ask').hidden")
        page.evaluate(f"document.getElementById('token').value = '{TOKEN}'")
        page.evaluate("document.querySelector('#ask button').click()")
        page.wait_for("service")
        page.drop(pictures[0], 600, 200)
        page.wait_for(MAPPED)
