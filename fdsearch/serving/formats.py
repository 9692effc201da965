"""The formats in which a version may hold its model, what runs each of them, and which one to take.

`runtimes` loads what is chosen here; `exports` says what was measured when the version was made.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from fdsearch.errors import ConfigError, Fault, IntegrityError, ResourceError, did_you_mean
from fdsearch.registry.draft import MODEL
from fdsearch.registry.manifest import RESTORE
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.exports import EXPORTS, Export, Exports

KERAS, ONNX, LITERT, LITERT_FLOAT16 = "keras", "onnx", "litert", "litert_float16"
FILES: Mapping[str, str] = {
    KERAS: MODEL,
    ONNX: "model.onnx",
    LITERT: "model.tflite",
    LITERT_FLOAT16: "model.float16.tflite",
}
"""The file of each format in a version's folder."""

_MAX_BYTES = 1_000_000
_PACKAGES = {KERAS: "keras", ONNX: "onnxruntime", LITERT: "ai_edge_litert", LITERT_FLOAT16: "ai_edge_litert"}


def choose(version: ModelVersion, format: str | None = None) -> str:
    """Say which format of a version to run: the one that is asked for, else the fastest that may be used here.

    A format may be used where its answers on the golden set were those of the model, and its package is installed.
    Which is the fastest was measured for one picture, where the version was made; float16 is taken where nothing else
    can be. Versions without exports have ``keras`` alone.

    Raises
    ------
    ConfigError
        If the version does not have the format that is asked for, or its answers differ from the model's.
    IntegrityError
        If the list of exports is not as it was registered, or is about exports of another model or contract.
    ResourceError
        If no package that is installed runs the version.
    """
    if format is not None and format not in FILES:
        fault = Fault("--format", repr(format), "the name of a format", did_you_mean(format, list(FILES)))
        raise ConfigError("no such format", [fault])
    exports = _exports(version)
    if format is not None:
        return _agreeing(version, format, exports)
    passing = [name for name, each in exports.items() if each.passes] or [KERAS]
    # float16 comes last: on a processor it is no faster, and only further off.
    passing.sort(key=lambda name: (name == LITERT_FLOAT16, _milliseconds(exports, name)))
    if found := next(filter(installed, passing), None):
        return found
    faults = [absence(name, str(version.path / FILES[name])) for name in passing]
    raise ResourceError("nothing that is installed runs this version", faults)


def installed(format: str) -> bool:
    """Whether the package that runs a format is installed."""
    return importlib.util.find_spec(_PACKAGES[format]) is not None


def absence(format: str, where: str) -> Fault:
    """The fault of a file at `where` whose package is not installed."""
    extra = "train" if format == KERAS else "serve"
    expected = f"the package that runs {format}"
    return Fault(where, f"{_PACKAGES[format]} is not installed", expected, f"pip install 'fdsearch[{extra}]'")


def _agreeing(version: ModelVersion, format: str, exports: Mapping[str, Export]) -> str:
    if format == KERAS or (format in exports and exports[format].passes):
        return format
    why = exports[format].why if format in exports else "it was registered without exports"
    usable = ", ".join([KERAS, *(name for name, each in exports.items() if each.passes and name != KERAS)])
    fault = Fault(str(version.path), why or "its answers differ", f"{format} with the model's answers", f"use {usable}")
    raise ConfigError(f"this version has no {format} that may be used", [fault])


def _milliseconds(exports: Mapping[str, Export], name: str) -> float:
    measured = exports[name].batch_1_ms if name in exports else None
    return float("inf") if measured is None else measured


def read_exports(version: ModelVersion) -> Exports | None:
    """What was exported of a version; None where it was registered without exports.

    Raises
    ------
    IntegrityError
        If the list is not as it was registered, is about exports of another model or contract, or names a file that
        the version does not have.
    """
    if EXPORTS not in version.manifest.files:
        return None
    where, files = str(version.path / EXPORTS), version.manifest.files
    found = Exports.parse(version.read(EXPORTS, _MAX_BYTES), where)
    faults = [
        Fault(where, f"exports of another {name}", "exports of what is beside them", RESTORE)
        for name, digest in found.made_of.items()
        if name not in files or files[name].sha256 != digest
    ]
    faults += [
        Fault(where, f"{name} in {each.file}, which is not there", "exports that are there", RESTORE)
        for name, each in found.exports.items()
        if each.file is not None and each.file not in files
    ]
    if faults:
        raise IntegrityError("the exports are not those of this version", faults)
    return found


def _exports(version: ModelVersion) -> dict[str, Export]:
    found = read_exports(version)
    return {} if found is None else {name: export for name, export in found.exports.items() if name in FILES}
