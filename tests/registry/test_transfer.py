"""A version in one file: it arrives as it left, or not at all, whoever sent it."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fdsearch.errors import ConfigError, ConflictError, FdsearchError, IntegrityError, ResourceError
from fdsearch.files import canonical_json
from fdsearch.registry.collection import collect
from fdsearch.registry.manifest import FileSeal
from fdsearch.registry.model import Model
from fdsearch.registry.store import Registry
from fdsearch.registry.transfer import _check_size, export_version, import_version


@pytest.fixture
def archive(filled: Registry, tmp_path: Path) -> Path:
    """Version 2 of ``tiles`` as one file."""
    export_version(filled.resolve("tiles:2"), tmp_path / "tiles.zip")
    return tmp_path / "tiles.zip"


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_arrives_is_what_left(filled: Registry, archive: Path, tmp_path: Path) -> None:
    other = Registry(tmp_path / "other")
    document = import_version(other.root, archive, by="lee")
    sent, arrived = filled.resolve("tiles:2"), other.resolve("tiles:2")
    assert content_of(arrived.path) == content_of(sent.path)
    assert document["registered"] and document["manifest"] == filled.state("tiles").manifests[2]
    assert Path(document["path"]) == arrived.path
    assert other.models() == [{"name": "tiles", "versions": [2], "champion": None, "challenger": None, "generation": 0}]
    event = other.events("tiles")[-1]
    assert (event.kind, event.by, event.why, event.details["archive"]) == ("registered", "lee", "imported", "tiles.zip")
    assert other.verify()["versions"] == 1
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o640 for path in arrived.path.iterdir())


def test_a_version_has_one_archive(filled: Registry, archive: Path, tmp_path: Path) -> None:
    document = export_version(filled.resolve("tiles:2"), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    assert document["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    other = Registry(tmp_path / "other")
    import_version(other.root, archive, by="lee")
    export_version(other.resolve("tiles:2"), tmp_path / "from_there.zip")
    assert (tmp_path / "from_there.zip").read_bytes() == archive.read_bytes()


def test_folders_and_a_signature_travel_too(registry: Registry, make_draft: Callable[..., Any], tmp_path: Path) -> None:
    draft = make_draft()
    (draft.folder / "exports").mkdir()
    (draft.folder / "exports" / "model.onnx").write_bytes(b"onnx")
    version = registry.register("tiles", draft, "test")
    (version.path / "manifest.json.sig").write_bytes(bytes(64))
    export_version(version, tmp_path / "tiles.zip")
    other = Registry(tmp_path / "other")
    import_version(other.root, tmp_path / "tiles.zip", by="lee")
    assert content_of(other.resolve("tiles:1").path) == content_of(version.path)


def test_the_same_version_again_changes_nothing(archive: Path, filled: Registry) -> None:
    before = content_of(filled.root)
    assert import_version(filled.root, archive, by="lee")["registered"] is False
    assert content_of(filled.root) == before


def test_a_damaged_version_is_not_said_to_have_arrived(archive: Path, filled: Registry) -> None:
    (filled.resolve("tiles:2").path / "model.keras").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="damaged"):
        import_version(filled.root, archive, by="lee")


def test_another_version_of_that_number_conflicts(
    archive: Path, tmp_path: Path, filled: Registry, make_draft: Callable[..., Any]
) -> None:
    other = Registry(tmp_path / "other")
    for content in (b"one", b"two"):
        other.register("tiles", make_draft(content), "test")
    with pytest.raises(ConflictError, match="another version"):
        import_version(other.root, archive, by="lee")
    collect(Model(filled.root / "tiles"), [2], by="kim", reason="disk")
    with pytest.raises(ConflictError, match="was removed"):
        import_version(filled.root, archive, by="lee")


def test_an_imported_number_is_not_given_again(archive: Path, tmp_path: Path, make_draft: Callable[..., Any]) -> None:
    other = Registry(tmp_path / "other")
    import_version(other.root, archive, by="lee")
    assert other.register("tiles", make_draft(b"new"), "test").version == 3


def test_a_changed_version_is_not_exported(filled: Registry, tmp_path: Path) -> None:
    (filled.resolve("tiles:2").path / "card.md").write_text("# Better\n")
    with pytest.raises(IntegrityError, match="not exported"):
        export_version(filled.resolve("tiles:2"), tmp_path / "tiles.zip")
    assert list(tmp_path.glob("*.zip")) == list(tmp_path.glob(".*.tmp")) == []


def test_what_no_archive_can_hold_is_refused_before_it_is_written(filled: Registry) -> None:
    """Above 2 GiB the format needs extensions, which no archive of ours has."""
    version = filled.resolve("tiles:1")
    sizes = {"model.keras": 1_900_000_000, "model.onnx": 300_000_000}
    files = {name: FileSeal(sha256="0" * 64, size=size) for name, size in sizes.items()}
    with pytest.raises(ResourceError, match="too large"):
        _check_size(replace(version, manifest=version.manifest.model_copy(update={"files": files})))


def test_an_archive_is_never_overwritten(filled: Registry, archive: Path) -> None:
    with pytest.raises(ConflictError, match="already"):
        export_version(filled.resolve("tiles:1"), archive)


@pytest.mark.parametrize("by", ["", " "])
def test_importing_needs_a_person_and_a_file(archive: Path, tmp_path: Path, by: str) -> None:
    with pytest.raises(ConfigError, match="person"):
        import_version(tmp_path / "other", archive, by=by)
    with pytest.raises(ConfigError, match="cannot be read"):
        import_version(tmp_path / "other", tmp_path / "gone.zip", by="lee")


# Hostile archives. Each is made of an honest one, its manifest made to agree wherever an attacker could.

Members = dict[str, bytes]


def members_of(archive: Path) -> Members:
    with zipfile.ZipFile(archive) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def sealed(members: Members) -> Members:
    """The members under a manifest that names them all."""
    manifest = json.loads(members["manifest.json"])
    manifest["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in members.items()
        if name != "manifest.json"
    }
    return {**members, "manifest.json": canonical_json(manifest)}


def packed(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as whole:
        for name, content in members.items():
            whole.writestr(zipfile.ZipInfo(name), content, compression)
    return stream.getvalue()


def with_name(name: str) -> Callable[[Members], bytes]:
    return lambda members: packed(sealed({**members, name: b"owned"}))


def with_manifest(**values: Any) -> Callable[[Members], bytes]:
    def change(members: Members) -> bytes:
        manifest = {**json.loads(members["manifest.json"]), **values}
        return packed({**members, "manifest.json": canonical_json(manifest)})

    return change


def as_link(members: Members) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as whole:
        for name, content in sealed({**members, "card.md": b"/etc/passwd"}).items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFLNK | 0o777) << 16 if name == "card.md" else 0
            whole.writestr(member, content)
    return stream.getvalue()


def twice(members: Members) -> bytes:
    stream = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(stream, "w") as whole:
        for name, content in [*members.items(), ("card.md", b"owned")]:
            whole.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def overlapping(members: Members) -> bytes:
    content = bytearray(packed(members))
    entries = [at for at in range(len(content)) if content[at : at + 4] == b"PK\x01\x02"]
    struct.pack_into("<I", content, entries[2] + 42, struct.unpack_from("<I", content, entries[1] + 42)[0])
    return bytes(content)


def large_directory(members: Members) -> bytes:
    """A directory of two million bytes, which a library would read before anybody could object."""
    return packed({**members, **{f"{number:05d}": b"" for number in range(40_000)}})


def object_array(members: Members) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, logits=np.array([{"code": "here"}], dtype=object), allow_pickle=True)
    return packed(sealed({**members, "oof.npz": stream.getvalue()}))


def claimed_array(members: Members) -> bytes:
    """A header that claims a terabyte for which NumPy would make room."""
    header, npz = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 37,)})
    with zipfile.ZipFile(npz, "w") as whole:
        whole.writestr("logits.npy", header.getvalue())
    return packed(sealed({**members, "oof.npz": npz.getvalue()}))


def bomb_of_arrays(members: Members) -> bytes:
    """Arrays whose directory says that they unfold into two gigabytes."""
    stream = io.BytesIO()
    np.savez_compressed(stream, logits=np.zeros(1 << 20))
    content = bytearray(stream.getvalue())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 1 << 31)
    return packed(sealed({**members, "oof.npz": bytes(content)}))


HOSTILE: dict[str, Callable[[Members], bytes]] = {
    "a path that climbs": with_name("../../evil.py"),
    "an absolute path": with_name("/tmp/evil.py"),
    "a path of another system": with_name("..\\..\\evil.py"),
    "a drive": with_name("C:evil.py"),
    "a hidden file": with_name(".bashrc"),
    "the manifest in a folder that climbs": with_name("exports/../../manifest.json"),
    "a link": as_link,
    "a name twice": twice,
    "a member of no manifest": lambda members: packed({**members, "extra.py": b"import os"}),
    "a missing member": lambda members: packed({key: members[key] for key in members if key != "oof.npz"}),
    "a changed member": lambda members: packed({**members, "model.keras": b"Second"}),
    "a longer member": lambda members: packed({**members, "model.keras": b"second and more"}),
    "no manifest": lambda members: packed({key: members[key] for key in members if key != "manifest.json"}),
    "a manifest that is no JSON": lambda members: packed({**members, "manifest.json": b"{" * 1000}),
    "a manifest without the model": lambda members: packed(
        sealed({key: members[key] for key in members if key != "model.keras"})
    ),
    "a name that climbs": with_manifest(name="../tiles"),
    "a version that is none": with_manifest(version=0),
    "a version that is a path": with_manifest(version="../0001"),
    "a version that nothing can name": with_manifest(version=10**9),
    "a file in a file": with_name("card.md/evil"),
    "compressed members": lambda members: packed(members, zipfile.ZIP_DEFLATED),
    "a bomb": lambda members: packed({**members, "model.keras": bytes(50_000_000)}, zipfile.ZIP_DEFLATED),
    "overlapping members": overlapping,
    "bytes before the first member": lambda members: b"#!/bin/sh\nexit\n" + packed(members),
    "bytes after the end": lambda members: packed(members) + b"more",
    "half an archive": lambda members: packed(members)[: len(packed(members)) // 2],
    "a large directory": large_directory,
    "an oversized signature": lambda members: packed({**members, "manifest.json.sig": bytes(1000)}),
    "an array that needs pickle": object_array,
    "an array that claims a terabyte": claimed_array,
    "a bomb of arrays": bomb_of_arrays,
    "no archive": lambda members: b"\x80\x04K\x01.",
    "nothing": lambda members: b"",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_exits_5_and_leaves_nothing(archive: Path, tmp_path: Path, kind: str) -> None:
    archive.write_bytes(HOSTILE[kind](members_of(archive)))
    outside = sorted(tmp_path.iterdir())
    with pytest.raises(FdsearchError) as caught:
        import_version(tmp_path / "other" / "registry", archive, by="lee")
    assert caught.value.exit_code == 5 and caught.value.faults
    left = sorted(path.relative_to(tmp_path) for path in (tmp_path / "other").rglob("*") if not path.is_dir())
    assert [path.name for path in left] in ([], [".lock"])
    assert [path for path in sorted(tmp_path.iterdir()) if path.name != "other"] == outside
    assert Registry(tmp_path / "other" / "registry").verify()["versions"] == 0


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_noticed_or_means_nothing(archive: Path, tmp_path: Path, data: st.DataObject) -> None:
    """What arrives is byte for byte what left, or does not arrive; times of a member, for one, are nobody's concern."""
    whole = archive.read_bytes()
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    place = tmp_path / "changed.zip"
    place.write_bytes(changed)
    try:
        with pytest.raises(IntegrityError):
            import_version(tmp_path / "other", place, by="lee")
    except pytest.fail.Exception:
        arrived = Registry(tmp_path / "other").resolve("tiles:2")
        sent = members_of(archive)
        assert {path.name: path.read_bytes() for path in arrived.path.iterdir()} == sent
