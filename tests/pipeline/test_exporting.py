"""What a registered version holds beside its model, and what becomes of the rest where a format fails."""

from __future__ import annotations

import csv
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from fdsearch import imaging
from fdsearch.pipeline.exporter import NEEDED, Exporter
from fdsearch.pipeline.parity import TOLERANCES, Golden, compare
from fdsearch.registry.draft import CONTRACT, MODEL
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract
from fdsearch.serving.exports import EXPORTS, GOLDEN, Exports
from fdsearch.serving.formats import FILES, KERAS, LITERT, LITERT_FLOAT16, ONNX
from fdsearch.serving.runtimes import open_runtime


@pytest.fixture(scope="module")
def versions(finished: Any) -> list[ModelVersion]:
    registry = Registry(finished.root / "registry")
    [model] = registry.models()
    return [registry.version("tiles", number) for number in model["versions"]]


def exports_of(version: ModelVersion) -> Exports:
    return Exports.parse(version.read(EXPORTS), EXPORTS)


def contract_of(version: ModelVersion) -> Contract:
    return Contract.parse(version.read(CONTRACT), CONTRACT)


def test_every_version_holds_what_agrees_with_its_model(versions: list[ModelVersion]) -> None:
    assert len(versions) > 1
    for version in versions:
        exports = exports_of(version)
        assert list(exports.exports) == list(NEEDED) == list(FILES)
        assert exports.made_of == {name: version.manifest.files[name].sha256 for name in (MODEL, CONTRACT)}
        golden = Golden.read(version.path / GOLDEN)
        assert exports.golden.n == len(golden.pictures) == 32
        for name, export in exports.exports.items():
            assert (export.file is not None) == export.passes == (FILES[name] in version.manifest.files)
            assert export.batch_1_ms and export.batch_32_per_s
        assert exports.exports[ONNX].passes and exports.exports[LITERT].passes


def test_what_is_deployed_answers_as_it_was_measured(versions: list[ModelVersion]) -> None:
    version = versions[0]
    contract, golden = contract_of(version), Golden.read(version.path / GOLDEN)
    for name, export in exports_of(version).exports.items():
        if export.passes and name in TOLERANCES:
            found = compare(name, open_runtime(version, contract, name).run(golden.pictures), golden, contract)
            assert found["passes"]
            assert found["max_difference"] == pytest.approx(export.max_difference, abs=1e-6)


def test_no_sealed_picture_is_in_the_golden_set(versions: list[ModelVersion], finished: Any) -> None:
    with (finished.root / "runs" / "tiles" / "splits.csv").open(newline="") as stream:
        sealed = [row["filename"] for row in csv.DictReader(stream) if row["role"] == "holdout"]
    contract, golden = contract_of(versions[0]), Golden.read(versions[0].path / GOLDEN)
    shown = {picture.tobytes() for picture in golden.pictures}
    decoded = {
        imaging.load(finished.pictures / name, contract.input.size, contract.input.resize).tobytes() for name in sealed
    }
    assert len(shown) == 32 and decoded and not shown & decoded


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    with closing(Exporter(tmp_path_factory.mktemp("log") / "exports.txt")) as exporter:
        yield exporter


@pytest.fixture
def draft(versions: list[ModelVersion], tmp_path: Path) -> Path:
    """What the process is given of a version."""
    folder = tmp_path / "draft"
    folder.mkdir()
    for name in (MODEL, CONTRACT, GOLDEN):
        shutil.copyfile(versions[0].path / name, folder / name)
    return folder


def test_a_format_whose_package_is_absent_costs_that_format_alone(
    exporter: Exporter, draft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (LITERT, LITERT_FLOAT16):
        monkeypatch.setitem(NEEDED, name, ("no_such_package",))
    made = exporter.begin(draft).result()
    assert [made[name].passes for name in (KERAS, ONNX, LITERT, LITERT_FLOAT16)] == [True, True, False, False]
    assert "no_such_package" in str(made[LITERT].why) and "pip install" in str(made[LITERT].why)
    assert sorted(path.name for path in draft.iterdir()) == [CONTRACT, GOLDEN, MODEL, FILES[ONNX]]


def test_a_process_that_dies_is_replaced_and_the_format_is_not_there(exporter: Exporter, draft: Path) -> None:
    exporter.prepare()
    (draft / MODEL).write_bytes(b"no model")
    exporter.begin(draft).result()
    [process] = exporting()
    process.send_signal(signal.SIGSTOP)
    begun = exporter.begin(draft)
    process.kill()
    made = begun.result()
    assert "ended (SIGKILL); see exports.txt" in str(made[KERAS].why)
    assert "IntegrityError" in str(made[ONNX].why)
    assert not any(export.passes for export in made.values())


def test_closing_does_not_wait_for_what_is_under_way(draft: Path) -> None:
    others = exporting()
    exporter = Exporter(draft.parent / "exports.txt")
    begun = exporter.begin(draft)
    while len(exporting()) == len(others):
        time.sleep(0.01)
    exporter.close()
    assert exporting() == others
    assert not any(export.passes for export in begun.result().values())


def exporting() -> list[psutil.Process]:
    """The processes of this one that export."""
    return [each for each in psutil.Process().children() if "export_process" in " ".join(each.cmdline())]
