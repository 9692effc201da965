"""What an attacker, or a bad disk, does to the files of a version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from fdsearch.files import canonical_json, digest_file
from fdsearch.registry.chain import Chain
from fdsearch.registry.events import EVENTS, HEAD, EventLog


def flip(path: Path, position: int = 0, mask: int = 1) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[position] ^= mask
    path.write_bytes(content)


def reseal(version: Path) -> None:
    """Make a manifest that agrees with changed files."""
    manifest = json.loads((version / "manifest.json").read_bytes())
    manifest["files"] = {
        item.relative_to(version).as_posix(): {"sha256": digest_file(item), "size": item.stat().st_size}
        for item in sorted(version.rglob("*"))
        if item.is_file() and item.name != "manifest.json"
    }
    (version / "manifest.json").write_bytes(canonical_json(manifest))


def with_file(version: Path, target: Path, name: str, content: bytes) -> Path:
    """A copy of a version with another file, under a manifest that agrees."""
    shutil.copytree(version, target)
    (target / name).write_bytes(content)
    reseal(target)
    return target


def rewrite_log(model: Path) -> None:
    """Make a log whose hashes agree with the manifests as they are now: a writer with intent, who knows the format."""
    log = EventLog(model)
    bodies = [
        {key: value for key, value in json.loads(line).items() if key not in ("hash", "seq", "previous")}
        for line in (model / EVENTS).read_bytes().splitlines()
    ]
    for name in (EVENTS, HEAD):
        (model / name).unlink()
    chain = Chain(model / EVENTS, model / HEAD, log.genesis, model.name)
    for body in bodies:
        if body["kind"] == "registered":
            manifest = model / "versions" / f"{body['version']:04d}" / "manifest.json"
            body["details"] = {**body["details"], "manifest": digest_file(manifest)}
        chain.append(body)
