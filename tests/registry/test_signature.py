"""Detached signatures of a manifest: as OpenSSL writes them, checked where a public key is configured."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_other
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fdsearch.errors import ConfigError, IntegrityError
from fdsearch.registry.draft import Draft
from fdsearch.registry.signature import VARIABLE, check_signature, configured, signature_gate
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion

PRIVATE, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def sign(version: ModelVersion, key: Ed25519PrivateKey = PRIVATE) -> Path:
    path = version.path / "manifest.json.sig"
    path.write_bytes(key.sign((version.path / "manifest.json").read_bytes()))
    return path


@pytest.fixture
def public(tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def test_a_signed_champion_is_right_and_other_versions_need_no_signature(filled: Registry, public: Path) -> None:
    assert filled.verify()["signatures"] == 0
    with pytest.raises(IntegrityError, match=r"manifest\.json\.sig"):
        filled.verify(public_key=public)
    sign(filled.resolve("tiles"))
    assert filled.verify(public_key=public)["signatures"] == 1
    assert filled.verify("tiles", public_key=public)["versions"] == 2
    sign(filled.resolve("tiles:2"))
    assert filled.verify(public_key=public)["signatures"] == 2
    assert filled.verify()["signatures"] == 0, "nobody asked"


WRONG: dict[str, Callable[[Path], object]] = {
    "of another key": lambda path: path.write_bytes(OTHER.sign(path.with_name("manifest.json").read_bytes())),
    "of other bytes": lambda path: path.write_bytes(PRIVATE.sign(b"manifest")),
    "changed": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "empty": lambda path: path.write_bytes(b""),
    "a link": lambda path: path.symlink_to(path.rename(path.parents[4] / "moved.sig")),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("reference", ["tiles:1", "tiles:2"])
def test_a_wrong_signature_exits_5_on_any_version(filled: Registry, public: Path, wrong: str, reference: str) -> None:
    for each in ("tiles:1", "tiles:2"):
        sign(filled.resolve(each))
    WRONG[wrong](filled.resolve(reference).path / "manifest.json.sig")
    with pytest.raises(IntegrityError) as caught:
        filled.verify(public_key=public)
    assert caught.value.exit_code == 5


def test_who_rewrites_everything_lacks_the_key(filled: Registry, public: Path, tmp_path: Path) -> None:
    """Another registry of the same model, whole in itself, with the old signature beside the new manifest."""
    signature = sign(filled.resolve("tiles")).read_bytes()
    forged = Registry(tmp_path / "forged")
    source = shutil.copytree(filled.resolve("tiles").path, tmp_path / "source")
    with pytest.raises(IntegrityError, match=r"manifest\.json\.sig"):
        forged.register("tiles", Draft(source), "test")
    for name in ("manifest.json", "manifest.json.sig"):
        (source / name).unlink()
    (source / "card.md").write_text("# Better\n")
    version = forged.register("tiles", Draft(source), "test")
    forged.promote("tiles", 1, by="mallory", reason="trust me")
    (version.path / "manifest.json.sig").write_bytes(signature)
    assert forged.verify()["versions"] == 1
    with pytest.raises(IntegrityError, match="another key"):
        forged.verify(public_key=public)


def test_a_configured_key_is_a_gate_and_binds_who_loads(
    filled: Registry, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = filled.resolve("tiles:2")
    assert signature_gate(version) == [] and configured() is None
    check_signature(version)
    monkeypatch.setenv(VARIABLE, str(public))
    [gate] = signature_gate(version)
    assert (gate["name"], gate["holds"], gate["figure"]) == ("signature", False, None)
    with pytest.raises(IntegrityError, match="not signed"):
        check_signature(version)
    sign(version)
    assert signature_gate(version)[0]["holds"]
    check_signature(version)


@pytest.mark.parametrize("content", [None, b"", b"no key", "another kind"])
def test_what_is_no_public_key_exits_2(filled: Registry, tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "key.pem"
    if content == "another kind":
        public = generate_other(SECP256R1()).public_key()
        content = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="public key"):
        filled.verify(public_key=path)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs OpenSSL's command")
def test_openssl_signs_what_fdsearch_checks(filled: Registry, tmp_path: Path) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "openssl.pem"
    manifest = filled.resolve("tiles").path / "manifest.json"
    for words in (
        ["genpkey", "-algorithm", "ed25519", "-out", private],
        ["pkey", "-in", private, "-pubout", "-out", public],
        ["pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", manifest, "-out", f"{manifest}.sig"],
    ):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    assert filled.verify(public_key=public)["signatures"] == 1
