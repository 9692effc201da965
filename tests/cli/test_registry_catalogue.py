"""The fault catalogue's group Registry (cases 41 to 51) through the command line: exit codes, and nothing executed.

A version here has a Keras model and an ONNX file, so that both ways of loading are tried. Whoever changes a file may
also be able to make every hash agree; then the content itself has to be refused.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tampering import flip, reseal, rewrite_log

from fdsearch.__main__ import main
from fdsearch.errors import ConfigError, FdsearchError, IntegrityError
from fdsearch.registry.draft import Draft
from fdsearch.registry.store import Registry
from fdsearch.serving.contract import Contract
from fdsearch.serving.predictor import Predictor

SIZE, SIGNED = 16, ("--by", "A. Weber", "--reason", "better")
CONTRACT = {
    "input": {"size": SIZE, "resize": "stretch"},
    "classes": ["crack", "free"],
    "pass_classes": ["free"],
    "calibration": {"temperature": 1.0, "bias": [0.0, 0.0]},
    "decision": {"pass_threshold": 0.6, "unit": "group"},
}
EXPORTS = {
    "format": 1,
    "golden": {"n": 0},
    "measured_on": {"machine": "x", "cores": 2, "versions": {}},
    "exports": {
        "keras": {"passes": True, "file": "model.keras", "batch_1_ms": 50.0},
        "onnx": {"passes": True, "file": "model.onnx", "batch_1_ms": 5.0},
    },
}


@dataclass
class Bench:
    """A registry with two versions of ``tiles``, the first of them champion, and the commands to run on it."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def model(self) -> Path:
        return self.root / "registry" / "tiles"

    @property
    def version(self) -> Path:
        """The champion's folder."""
        return self.model / "versions" / "0001"

    @property
    def trace(self) -> Path:
        """What exists once hostile content has run."""
        return self.root / "was_run"

    def call(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        assert main([*map(str, arguments), "--json", "--root", str(self.root)]) == code, arguments
        streams = self.capsys.readouterr()
        assert "Traceback" not in streams.err
        document: dict[str, Any] = json.loads(streams.out)
        return document

    def refused(self, code: int, *command: object) -> list[dict[str, str]]:
        """The faults of a command; each must say where, what and how to mend it, and nothing has run."""
        error = self.call(*command, code=code)["error"]
        assert error["exit_code"] == code and error["faults"], error
        assert all(fault["where"] and fault["got"] and fault["expected"] for fault in error["faults"])
        assert not self.trace.exists()
        found: list[dict[str, str]] = error["faults"]
        return found

    def predict(self, *options: object, code: int = 0) -> dict[str, Any]:
        return self.call("predict", "tiles", self.root / "picture.png", *options, code=code)

    def exchange(self, name: str, content: bytes) -> None:
        """Replace a file of the champion, and every hash that would tell."""
        (self.version / name).write_bytes(content)
        reseal(self.version)
        rewrite_log(self.model)


def onnx_model() -> Any:
    """A graph that weighs pixels."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(SIZE * SIZE, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pictures"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    inputs = [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["batch", SIZE, SIZE, 1])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("logits", "probabilities")
    ]
    graph = helper.make_graph(nodes, "tiles", inputs, outputs, [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def keras_model(path: Path, *layers: Any) -> bytes:
    import keras

    keras.utils.set_random_seed(3)
    pictures = keras.Input((SIZE, SIZE, 1), dtype="uint8", name="pictures")
    x = keras.layers.Rescaling(1 / 255.0)(pictures)
    for layer in layers:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(pictures, keras.layers.Dense(2)(x)).save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    draft = tmp_path_factory.mktemp("draft")
    keras_model(draft / "model.keras")
    (draft / "model.onnx").write_bytes(onnx_model().SerializeToString())
    (draft / "exports.json").write_text(json.dumps(EXPORTS))
    Contract.model_validate(CONTRACT).write(draft / "contract.json")
    (draft / "card.md").write_text("# Model card\n")
    (draft / "metrics.json").write_text("{}")
    np.savez(draft / "oof.npz", logits=np.zeros((1, 2), np.float32))
    registry = Registry(root / "registry")
    for _ in range(2):
        registry.register("tiles", Draft(draft), "test")
    registry.promote("tiles", 1, by="kim", reason="first")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)).save(root / "picture.png")
    return root


@pytest.fixture
def bench(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    """A registry without a fault."""
    return Bench(Path(shutil.copytree(built, tmp_path / "root")), capsys)


def test_the_bench_is_whole_and_both_formats_predict(bench: Bench) -> None:
    assert bench.call("registry", "verify")["versions"] == 2
    assert len(bench.predict()["predictions"]) == len(bench.predict("--format", "keras")["predictions"]) == 1
    rewrite_log(bench.model)
    assert bench.call("registry", "verify")["versions"] == 2, "the tests' own writer of logs writes as fdsearch does"


def test_41_of_two_promotions_of_one_generation_one_exits_6(bench: Bench) -> None:
    [seen] = bench.call("registry", "list")["models"]
    command = [sys.executable, "-m", "fdsearch", "registry", "promote", "tiles:2", *SIGNED, "--force"]
    command += ["--generation", str(seen["generation"]), "--root", str(bench.root)]
    racing = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert sorted(process.wait(timeout=120) for process in racing) == [0, 6]
    [after] = bench.call("registry", "list")["models"]
    assert (after["generation"], after["champion"]) == (seen["generation"] + 1, 2)


@pytest.mark.parametrize("name", ["manifest.json", "contract.json", "model.onnx", "exports.json"])
def test_42_a_flipped_byte(bench: Bench, name: str) -> None:
    flip(bench.version / name, 20)
    for command in (("verify",), ("promote", "tiles:1", *SIGNED), ("export", "tiles:1"), ("gc", "--by", "me")):
        bench.refused(5, "registry", *command)
    bench.predict(code=5)


@pytest.mark.parametrize("name", ["manifest.json", "contract.json", "model.onnx"])
def test_43_a_missing_file(bench: Bench, name: str) -> None:
    (bench.version / name).unlink()
    [fault] = bench.refused(5, "registry", "verify")
    assert fault["where"].endswith(name)
    bench.predict(code=5)


def test_43_an_additional_file(bench: Bench) -> None:
    (bench.version / "sitecustomize.py").write_text(f"open({str(bench.trace)!r}, 'w')")
    [fault] = bench.refused(5, "registry", "verify")
    assert fault["where"].endswith("sitecustomize.py")
    bench.refused(5, "registry", "promote", "tiles:1", *SIGNED)


def cut(name: str, keep: Callable[[bytes], bytes]) -> Callable[[Bench], None]:
    def damage(bench: Bench) -> None:
        path = bench.model / name
        path.write_bytes(keep(path.read_bytes()))

    return damage


ALIASES: dict[str, Callable[[Bench], None]] = {
    "an empty head": cut("events.head", lambda content: b""),
    "half a head": cut("events.head", lambda content: content[: len(content) // 2]),
    "no head": lambda bench: (bench.model / "events.head").unlink(),
    "an empty log": cut("events.jsonl", lambda content: b""),
    "no log": lambda bench: (bench.model / "events.jsonl").unlink(),
    "half a last line": cut("events.jsonl", lambda content: content[:-40]),
    "no last line": cut("events.jsonl", lambda content: b"".join(content.splitlines(keepends=True)[:-1])),
    "no first line": cut("events.jsonl", lambda content: b"".join(content.splitlines(keepends=True)[1:])),
}


@pytest.mark.parametrize("kind", ALIASES)
def test_44_a_truncated_alias(bench: Bench, kind: str) -> None:
    ALIASES[kind](bench)
    for command in (("verify",), ("show", "tiles"), ("promote", "tiles:2", *SIGNED), ("gc", "tiles", "--by", "me")):
        bench.refused(5, "registry", *command)
    bench.refused(5, "registry", "rollback", "tiles", *SIGNED)
    bench.predict(code=5)


def test_45_the_manifest_of_another_version(bench: Bench) -> None:
    shutil.copy(bench.model / "versions" / "0002" / "manifest.json", bench.version)
    bench.refused(5, "registry", "verify")
    bench.predict(code=5)


def test_45_a_manifest_that_agrees_with_changed_files(bench: Bench) -> None:
    (bench.version / "card.md").write_text("# A better card\n")
    reseal(bench.version)
    bench.refused(5, "registry", "verify")
    bench.predict(code=5)


def test_45_an_earlier_log_is_noticed_by_a_head_that_was_noted(bench: Bench) -> None:
    earlier = {name: (bench.model / name).read_bytes() for name in ("events.jsonl", "events.head")}
    bench.call("registry", "promote", "tiles:2", *SIGNED, "--force")
    [head] = bench.call("registry", "head", "tiles")["heads"]
    bench.call("registry", "verify", "--head", head["hash"])
    for name, content in earlier.items():
        (bench.model / name).write_bytes(content)
    bench.refused(5, "registry", "verify", "--head", head["hash"])


def test_45_a_writer_who_makes_every_hash_agree_is_noticed_by_the_head_alone(bench: Bench) -> None:
    [head] = bench.call("registry", "head", "tiles")["heads"]
    bench.exchange("card.md", b"# A better card\n")
    bench.call("registry", "verify")
    bench.refused(5, "registry", "verify", "--head", head["hash"])


def test_46_a_lambda_is_not_run(bench: Bench, tmp_path: Path) -> None:
    import keras

    def harmful(x: Any, place: str = str(bench.trace)) -> Any:
        Path(place).touch()
        return x

    bench.exchange("model.keras", keras_model(tmp_path / "harmful.keras", keras.layers.Lambda(harmful)))
    bench.trace.unlink()  # building the model has run it
    faults = bench.refused(5, "predict", "tiles", bench.root / "picture.png", "--format", "keras")
    assert "Lambda" in faults[0]["got"]


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def zip_bomb(content: bytes) -> bytes:
    return zipped({**members(content), "model.weights.h5": bytes(20_000_000)}, zipfile.ZIP_DEFLATED)


def hdf5_bomb(content: bytes) -> bytes:
    """Weights of a few kilobytes that say they unpack to 4 GB."""
    import h5py

    parts, stream = members(content), io.BytesIO(members(content)["model.weights.h5"])
    with h5py.File(stream, "r+") as weights:
        datasets: list[str] = []
        weights.visititems(lambda name, item: datasets.append(name) if isinstance(item, h5py.Dataset) else None)
        del weights[datasets[0]]
        weights.create_dataset(datasets[0], (1 << 30,), "f4", chunks=(1 << 20,), compression="gzip", fillvalue=1.0)
    return zipped({**parts, "model.weights.h5": stream.getvalue()})


@pytest.mark.parametrize("bomb", [zip_bomb, hdf5_bomb])
def test_47_a_bomb_is_refused_unpacked(bench: Bench, bomb: Callable[[bytes], bytes]) -> None:
    hostile = bomb((bench.version / "model.keras").read_bytes())
    assert len(hostile) < 1_000_000
    bench.exchange("model.keras", hostile)
    bench.refused(5, "predict", "tiles", bench.root / "picture.png", "--format", "keras")


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


def bare_pickle(place: Path) -> bytes:
    return pickle.dumps(Payload(place))


def array_of_objects(place: Path) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, logits=np.array([Payload(place)], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("hostile", [bare_pickle, array_of_objects])
@pytest.mark.parametrize("name", ["oof.npz", "holdout.npz"])
def test_48_a_pickle_named_npz_is_not_read(
    bench: Bench, hostile: Callable[[Path], bytes], name: str, tmp_path: Path
) -> None:
    bench.exchange(name, hostile(bench.trace))
    faults = bench.refused(5, "registry", "diff", "tiles:1", "tiles:2")
    assert faults[0]["where"].endswith(name)
    bench.call("registry", "export", "tiles:1", "--to", tmp_path / "tiles.zip")
    shutil.copytree(bench.version, tmp_path / "draft", ignore=shutil.ignore_patterns("manifest.json"))
    shutil.rmtree(bench.root / "registry")
    [fault] = bench.refused(5, "registry", "import", tmp_path / "tiles.zip", "--by", "lee")
    assert fault["where"].endswith(name)
    with pytest.raises(IntegrityError, match=name):
        Registry(bench.root / "registry").register("tiles", Draft(tmp_path / "draft"), "test")
    assert not bench.trace.exists()


def test_49_numbers_in_another_file_are_refused(bench: Bench) -> None:
    from onnx import TensorProto

    model = onnx_model()
    numbers = model.graph.initializer[0]
    numbers.ClearField("raw_data")
    numbers.data_location = TensorProto.EXTERNAL
    numbers.external_data.add(key="location", value="../../../../picture.png")
    bench.exchange("model.onnx", model.SerializeToString())
    for options in ((), ("--format", "onnx")):
        faults = bench.refused(5, "predict", "tiles", bench.root / "picture.png", *options)
        assert "another file" in faults[0]["got"]


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "..", "tiles/../tiles"])
def test_50_a_name_that_climbs_exits_2(bench: Bench, name: str) -> None:
    picture = bench.root / "picture.png"
    for command in (
        ("predict", name, picture),
        ("predict", f"{name}@champion", picture),
        ("registry", "show", name),
        ("registry", "verify", name),
        ("registry", "log", name),
        ("registry", "diff", name, "tiles"),
        ("registry", "export", name),
        ("registry", "gc", name, "--by", "me"),
        ("registry", "gc", f"{name}:1", "--by", "me"),
        ("registry", "promote", f"{name}:1", *SIGNED),
        ("registry", "rollback", name, *SIGNED),
    ):
        bench.refused(2, *command)
    with pytest.raises(ConfigError):
        Registry(bench.root / "registry").register(name, Draft(bench.version), "test")


def test_51_the_champion_is_not_deleted(bench: Bench) -> None:
    before = sorted(path for path in bench.root.rglob("*") if path.is_file())
    for reference in ("tiles:1", "tiles@champion", "tiles:0001"):
        [fault] = bench.refused(6, "registry", "gc", reference, "--by", "me")
        assert (fault["where"], fault["got"]) == ("tiles:0001", "the champion")
    assert [path for path in before if not path.exists()] == []
    listed = bench.call("registry", "gc", "tiles", "--dry-run")
    assert [row["version"] for row in listed["models"][0]["collected"]] == [2]
    removed = bench.call("registry", "gc", "--by", "me")
    assert [row["version"] for row in removed["models"][0]["collected"]] == [2]
    assert len(bench.predict()["predictions"]) == 1 and bench.call("registry", "verify")["versions"] == 1


def test_51_a_champion_deleted_by_hand_is_missed(bench: Bench) -> None:
    shutil.rmtree(bench.version)
    bench.refused(5, "registry", "verify")
    bench.predict(code=5)
    bench.refused(5, "registry", "gc", "--by", "me")


READ = {"manifest.json", "contract.json", "exports.json", "events.jsonl", "events.head"}
"""What loading a model by its name reads, beside the file of the format that it runs."""


def unnoticed(bench: Bench, n_changes: int, seed: int) -> list[str]:
    """Change single bytes of a version, the log and its head, one after the other; return those nobody noticed."""
    rng, registry = random.Random(seed), Registry(bench.root / "registry")
    files = sorted(path for path in bench.version.rglob("*") if path.is_file())
    files += [bench.model / name for name in ("events.jsonl", "events.head")]
    missed = []
    for number in range(n_changes):
        path = files[number % len(files)]
        whole = path.read_bytes()
        position, mask = rng.randrange(len(whole)), rng.randrange(1, 256)
        flip(path, position, mask)
        change = f"{path.name}, byte {position}, mask {mask}"
        if not raises(IntegrityError, registry.verify):
            missed.append(f"verify: {change}")
        for format in ("onnx", "keras"):
            is_read = path.name in READ or path.name == f"model.{format}"
            if is_read and not raises(FdsearchError, partial(Predictor.load, "tiles", registry.root, format=format)):
                missed.append(f"load of {format}: {change}")
        path.write_bytes(whole)
    assert registry.verify()["versions"] == 2
    return missed


def raises(kind: type[FdsearchError], call: Callable[[], object]) -> bool:
    try:
        call()
    except kind as error:
        return error.exit_code == 5
    return False


def test_changed_bytes_are_noticed_by_verify_and_by_load(bench: Bench) -> None:
    assert unnoticed(bench, 90, seed=0) == []


@pytest.mark.slow
def test_a_thousand_changed_bytes_are_noticed_by_verify_and_by_load(bench: Bench) -> None:
    assert unnoticed(bench, 1000, seed=1) == []
