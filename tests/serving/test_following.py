"""The version that answers is the one somebody promoted last, as long as it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fdsearch.errors import ConfigError
from fdsearch.progress import Silent
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract
from fdsearch.serving.following import Follower


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def registry(register: Callable[..., ModelVersion], contract: Contract, tmp_path: Path) -> Registry:
    """Two versions of ``tiles``, the first champion; they differ in their calibration."""
    register()
    register(contract=contract.model_copy(update={"pass_classes": ("bent",)}))
    registry = Registry(tmp_path / "registry")
    registry.promote("tiles", 1, by="test", reason="first")
    return registry


def test_a_promotion_is_followed_and_one_back_too(registry: Registry) -> None:
    listener = Listener()
    follower = Follower("tiles@champion", registry.root, None, listener)
    assert follower.follows
    assert not follower.look()
    for version in (2, 1):
        registry.promote("tiles", version, by="test", reason="switch")
        assert follower.look()
        assert follower.current.version.version == version
    assert follower.current.contract.pass_classes == ("free",)
    assert (follower.switches, len(listener.said)) == (2, 2)


def test_it_looks_by_itself(registry: Registry) -> None:
    follower = Follower("tiles", registry.root, None, Silent())
    follower.start()
    registry.promote("tiles", 2, by="test", reason="switch")
    until = time.monotonic() + 60
    while follower.current.version.version != 2 and time.monotonic() < until:
        time.sleep(0.05)
    follower.close()
    assert follower.current.version.version == 2


def test_a_broken_champion_never_answers(registry: Registry) -> None:
    listener = Listener()
    follower = Follower("tiles", registry.root, None, listener)
    registry.promote("tiles", 2, by="test", reason="switch")
    weights = registry.root / "tiles/versions/0002/model.keras"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for _ in range(3):
        assert not follower.look()
    assert follower.current.version.version == 1
    assert follower.problem is not None
    assert len(listener.said) == 1, "a problem is said once"
    weights.write_bytes(whole)
    assert follower.look()
    assert (follower.current.version.version, follower.problem) == (2, None)


def test_no_failure_ends_the_following(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime raises what it likes while it is warmed up."""
    follower = Follower("tiles", registry.root, None, Silent())
    registry.promote("tiles", 2, by="test", reason="switch")
    with monkeypatch.context() as patch:
        patch.setattr(type(follower.current), "run", lambda *_: 1 / 0)
        assert not follower.look()
    assert follower.problem is not None and "zero" in follower.problem
    assert follower.look()


@pytest.mark.parametrize("reference", ["tiles:1", "FOLDER"])
def test_a_version_and_a_folder_stay_what_they_are(registry: Registry, reference: str) -> None:
    folder = registry.root / "tiles/versions/0001"
    follower = Follower(str(folder) if reference == "FOLDER" else reference, registry.root, None, Silent())
    registry.promote("tiles", 2, by="test", reason="switch")
    assert not follower.follows
    assert not follower.look()
    assert follower.current.version.version == 1


def test_what_is_not_there_is_not_served(registry: Registry) -> None:
    with pytest.raises(ConfigError):
        Follower("tiles@challenger", registry.root, None, Silent())
