"""An optional detached Ed25519 signature of a version's manifest: who approved it, for whoever holds the public key.

``manifest.json.sig`` lies beside ``manifest.json`` and holds the 64 bytes that, for one, OpenSSL writes::

    openssl pkeyutl -sign -rawin -inkey private.pem -in manifest.json -out manifest.json.sig

fdsearch never sees a private key. It checks signatures where a public key is configured, by ``--public-key FILE`` or
the environment variable ``FDSEARCH_PUBLIC_KEY``: `verification` looks at every version, `fdsearch.pipeline.promotion`
at the one that shall be champion, and whoever loads a version may call `check_signature`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdsearch.errors import ConfigError, Fault, IntegrityError
from fdsearch.registry.manifest import MANIFEST
from fdsearch.registry.version import SIGNATURE_FILE, ModelVersion

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE = "signature"
"""Name of the gate."""

VARIABLE = "FDSEARCH_PUBLIC_KEY"
_MAX_KEY_BYTES = 10_000


@dataclass(frozen=True)
class PublicKey:
    """The key of whoever approves versions.

    Parameters
    ----------
    path : Path
        A PEM file, as ``openssl pkey -pubout`` writes it.
    """

    path: Path

    def load(self) -> Ed25519PublicKey:
        """Read the key.

        Raises
        ------
        ConfigError
            If the file is no Ed25519 public key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        got = "another kind of key"
        try:
            with self.path.open("rb") as stream:
                key = load_pem_public_key(stream.read(_MAX_KEY_BYTES))
            if isinstance(key, Ed25519PublicKey):
                return key
        except (OSError, ValueError) as error:
            got = str(error)
        fix = "write it with `openssl pkey -in private.pem -pubout -out public.pem`"
        fault = Fault(str(self.path), got, "an Ed25519 public key in PEM", fix)
        raise ConfigError("the public key cannot be read", [fault])


def configured(path: Path | None = None) -> PublicKey | None:
    """The public key of the command line, else of the environment, else None."""
    place = path or os.environ.get(VARIABLE)
    return PublicKey(Path(place)) if place else None


def signature_faults(version: ModelVersion, key: PublicKey) -> list[Fault]:
    """Compare a version's signature with its manifest; empty where it is right.

    Raises
    ------
    ConfigError
        If the key cannot be read.
    """
    from cryptography.exceptions import InvalidSignature

    public, place = key.load(), version.path / SIGNATURE_FILE
    fix = f"have {MANIFEST} looked at and signed again by whoever holds the private key of {key.path}"
    try:
        if not stat.S_ISREG(place.lstat().st_mode):
            raise OSError("not a regular file")
        with place.open("rb") as stream:
            public.verify(stream.read(65), version.manifest_bytes())
    except InvalidSignature:
        return [Fault(str(place), "a signature of something else, or by another key", "one of the manifest", fix)]
    except OSError as error:
        return [Fault(str(place), error.strerror or str(error), f"a signature of {MANIFEST}", fix)]
    return []


def check_signature(version: ModelVersion) -> None:
    """Refuse a version that is not signed, where a public key is configured in the environment.

    Raises
    ------
    IntegrityError
    """
    key = configured()
    if key is not None and (faults := signature_faults(version, key)):
        raise IntegrityError("the version is not signed by the configured key", faults)


def signature_gate(version: ModelVersion) -> list[dict[str, Any]]:
    """The signature as a row of `fdsearch.registry.gates.evaluate`; none where no public key is configured."""
    key = configured()
    if key is None:
        return []
    faults = signature_faults(version, key)
    why = f"{SIGNATURE_FILE}: {faults[0].got}" if faults else f"signed by the holder of {key.path}"
    return [{"name": SIGNATURE, "figure": None if faults else 1.0, "threshold": 1.0, "holds": not faults, "why": why}]
