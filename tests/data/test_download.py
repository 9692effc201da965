"""Public sets: the real ones from a folder, and a small one through a real local server and a real archive."""

from __future__ import annotations

import http.server
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fdsearch.data import download
from fdsearch.data.download import SETS, PublicSet, fetch, set_digest
from fdsearch.errors import ConfigError, IntegrityError, ResourceError, StorageError

FILES = {"labels.csv": "filename,label\na.png,x\n", "pictures/a.png": "not really", "pictures/b.png": "nor this"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The set `small` as a folder."""
    folder = tmp_path / "source" / "small"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def small(source: Path, monkeypatch: pytest.MonkeyPatch) -> PublicSet:
    """The set as fdsearch knows it."""
    wanted = PublicSet(len(FILES), set_digest(source), "a test")
    monkeypatch.setitem(SETS, "small", wanted)
    return wanted


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["pistons", "magnetic_tile"])
def test_the_public_sets_are_what_they_should_be(shared_data: Path, tmp_path: Path, name: str) -> None:
    folder = fetch(name, tmp_path / name, from_folder=shared_data)
    assert set_digest(folder) == SETS[name].digest
    assert not any(file.startswith(".") for file in names(folder))


@pytest.mark.parametrize("level", ["source", "source/small"])
def test_copy_from_the_set_or_from_the_folder_that_holds_it(
    small: PublicSet, source: Path, tmp_path: Path, level: str
) -> None:
    (source / ".hidden").write_text("left behind")
    assert fetch("small", tmp_path / "data" / "small", from_folder=tmp_path / level) == tmp_path / "data" / "small"
    assert names(tmp_path / "data") == [f"small/{name}" for name in sorted(FILES)]


def test_a_set_that_is_there_is_verified_not_copied(small: PublicSet, source: Path, tmp_path: Path) -> None:
    target = fetch("small", tmp_path / "small", from_folder=source)
    shutil.rmtree(source)
    assert fetch("small", tmp_path / "small") == target
    (target / "labels.csv").write_text("filename,label\na.png,y\n")
    with pytest.raises(IntegrityError, match="delete the folder"):
        fetch("small", tmp_path / "small")


def spoil_byte(folder: Path) -> None:
    (folder / "pictures/a.png").write_text("Not really")


def spoil_name(folder: Path) -> None:
    (folder / "pictures/a.png").rename(folder / "pictures/c.png")


def spoil_missing(folder: Path) -> None:
    (folder / "pictures/a.png").unlink()


def spoil_extra(folder: Path) -> None:
    (folder / "pictures/c.png").write_text("")


def spoil_link(folder: Path) -> None:
    (folder / "pictures/a.png").unlink()
    (folder / "pictures/a.png").symlink_to(folder / "labels.csv")


@pytest.mark.parametrize("spoil", [spoil_byte, spoil_name, spoil_missing, spoil_extra, spoil_link])
def test_a_folder_with_other_content_is_refused_and_leaves_nothing(
    small: PublicSet, source: Path, tmp_path: Path, spoil: object
) -> None:
    spoil(source)  # type: ignore[operator]
    with pytest.raises(IntegrityError):
        fetch("small", tmp_path / "data" / "small", from_folder=source)
    assert list((tmp_path / "data").iterdir()) == []


def test_unknown_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean pistons"):
        fetch("piston", tmp_path / "x")
    with pytest.raises(ConfigError, match="--from"):
        fetch("pistons", tmp_path / "x", from_folder=tmp_path / "absent")


def test_a_set_that_may_not_be_passed_on_says_how_to_get_it_or_to_draw_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ENS data challenge 157.*data synthesize .*--layout challenge"):
        fetch("valeo", tmp_path / "valeo")


def test_a_place_that_cannot_be_written(small: PublicSet, source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        fetch("small", tmp_path / "file" / "small", from_folder=source)


def test_a_set_without_archive_names_the_way(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"fdsearch data fetch magnetic_tile --from DIR"):
        fetch("magnetic_tile", tmp_path / "magnetic_tile")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server of the folder `www`."""
    (tmp_path / "www").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "www")) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}/set.zip"
        finally:
            serving.shutdown()
            thread.join()


def pack(path: Path, members: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def offered(small: PublicSet, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETS, "small", PublicSet(small.n_files, small.digest, small.source, url, "data"))


def test_download(small: PublicSet, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(small, server, monkeypatch)
    members = {f"repository-1a2b/data/{name}": text for name, text in FILES.items()}
    pack(tmp_path / "www" / "set.zip", {**members, "repository-1a2b/README.md": "", "repository-1a2b/data/.x": ""})
    folder = fetch("small", tmp_path / "small")
    assert names(folder) == sorted(FILES)


def test_members_that_lead_elsewhere_are_not_written(
    small: PublicSet, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(small, server, monkeypatch)
    members = {f"r/data/{name}": text for name, text in FILES.items()}
    pack(tmp_path / "www" / "set.zip", {**members, "r/data/../../evil": "", "/etc/evil": "", "r/data/../evil": ""})
    fetch("small", tmp_path / "data" / "small")
    assert not list(tmp_path.rglob("*evil*"))


def test_an_archive_that_is_too_large_or_damaged_is_refused(
    small: PublicSet, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(small, server, monkeypatch)
    monkeypatch.setattr(download, "MAX_ARCHIVE_BYTES", 1000)
    pack(tmp_path / "www" / "set.zip", {"r/data/bomb": "0" * 100_000})
    with pytest.raises(IntegrityError, match="more than 1000 bytes"):
        fetch("small", tmp_path / "data" / "small")
    (tmp_path / "www" / "set.zip").write_bytes(b"PK no")
    with pytest.raises(IntegrityError, match="archive is damaged"):
        fetch("small", tmp_path / "data" / "small")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_failed_download_names_the_other_way(
    small: PublicSet, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(small, server, monkeypatch)
    with pytest.raises(ResourceError, match="--from DIR"):
        fetch("small", tmp_path / "data" / "small")
