"""What a ``.keras`` file holds, found out before Keras sees it: no code, no foreign class, no bomb. No Keras here.

A ``.keras`` file is a zip of ``config.json``, ``metadata.json`` and ``model.weights.h5``. Keras's own safe mode has
been broken a dozen times, so `loading` lets only files through that name the classes of `fdsearch.layers.ALLOWED` and
what layers are made of. `weights_file` looks into the weights.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from fdsearch.errors import Fault, IntegrityError
from fdsearch.layers import ALLOWED

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBER_CAPS = {CONFIG: 32_000_000, "metadata.json": 100_000, WEIGHTS: 2_000_000_000}
"""Largest size of each member, bytes."""

_PARTS: dict[str, frozenset[str]] = {
    "keras": frozenset({"DTypePolicy"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.initializers": frozenset(
        {
            *(
                "Constant",
                "GlorotNormal",
                "GlorotUniform",
                "HeNormal",
                "HeUniform",
                "LecunNormal",
                "LecunUniform",
                "Ones",
            ),
            *("Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros"),
        }
    ),
    "keras.constraints": frozenset({"UnitNorm"}),
    "keras.regularizers": frozenset({"L1", "L1L2", "L2"}),
}
"""What layers are made of beside layers: module, as ``config.json`` spells it, to class names."""

_TENSOR = "__keras_tensor__"
_LOCAL_HEADER = 30
_FIX = "register a model that fdsearch trained; a plugin's own layer classes cannot be deployed"


def check_archive(content: bytes, where: str) -> None:
    """Refuse a ``.keras`` file that could do more than compute.

    Parameters
    ----------
    content : bytes
        The whole file.
    where : str
        Names it in faults.

    Raises
    ------
    IntegrityError
        If it is no zip, has members other than Keras's three, compressed or overlapping ones (Keras stores them
        plainly, so neither has an honest reason), or names a class that is not allowed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            faults = list(_member_faults(archive, where))
            if not faults:
                faults = list(_class_faults(json.loads(archive.read(CONFIG)), where))
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RecursionError) as error:
        faults = [Fault(where, str(error), "a .keras file", _FIX)]
    if faults:
        raise IntegrityError("the model file is refused; nothing in it was run", faults)


def _member_faults(archive: zipfile.ZipFile, where: str) -> Iterator[Fault]:
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    names = [member.filename for member in members]
    if sorted(names) != sorted(MEMBER_CAPS):
        yield Fault(where, f"members {', '.join(names[:10]) or 'none'}", " and ".join(sorted(MEMBER_CAPS)), _FIX)
    free_from = 0
    for member in members:
        place = f"{where}: {member.filename}"
        if (
            member.compress_type != zipfile.ZIP_STORED
            or member.compress_size != member.file_size
            or member.flag_bits & 1
        ):
            yield Fault(place, "a compressed or encrypted member", "members stored plainly, as Keras does", _FIX)
        if member.header_offset < free_from:
            yield Fault(place, "a member that overlaps another", "members one after the other", _FIX)
        if member.file_size > MEMBER_CAPS.get(member.filename, 0):
            yield Fault(
                place, f"{member.file_size} bytes", f"at most {MEMBER_CAPS.get(member.filename, 0)} bytes", _FIX
            )
        free_from = member.header_offset + _LOCAL_HEADER + len(member.filename.encode()) + member.compress_size


def _class_faults(config: Any, where: str) -> Iterator[Fault]:
    """Walk the whole configuration; everything that names a class is looked up, wherever it stands."""
    if isinstance(config, dict):
        # `loading` does not compile, and then Keras drops this key of the outermost object unread.
        config = {key: value for key, value in config.items() if key != "compile_config"}
    if not isinstance(config, dict) or "class_name" not in config:
        yield Fault(f"{where}: {CONFIG}", "no model", "a model's configuration", _FIX)
    waiting: list[tuple[str, Any]] = [("$", config)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, list):
            waiting += [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        elif isinstance(value, dict):
            if "class_name" in value and not _is_allowed(value):
                got = f"{value.get('module')}.{value['class_name']} (registered as {value.get('registered_name')})"
                yield Fault(f"{where}: {CONFIG}: {path}", got[:200], "a class of fdsearch.layers.ALLOWED", _FIX)
            if value.get("compile_config"):
                yield Fault(f"{where}: {CONFIG}: {path}", "a compiled part", "layers without a loss", _FIX)
            waiting += [(f"{path}.{key}", item) for key, item in value.items()]


def _is_allowed(value: dict[str, Any]) -> bool:
    module, name, registered = value.get("module"), value["class_name"], value.get("registered_name")
    if name == _TENSOR:
        return module is None and registered is None
    if not isinstance(module, str) or not isinstance(name, str):
        return False
    # A registered name wins over module and class inside Keras: only the empty one and the class's own are harmless.
    known = name in ALLOWED.get(module, ()) or name in _PARTS.get(module, ())
    return known and registered in (None, name)
