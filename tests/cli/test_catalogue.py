"""The fault catalogue's groups Dataset, Images and Config (cases 1 to 23) through the command line.

What each fault says is asserted beside the module that finds it; here it is that a shell gets the exit code, a program
one document, a person one block, that every fault has a place and a remedy, and that all of them come at once.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from fdsearch.__main__ import main

SPACE = {"backbone": "piston_cnn", "image_size": 32, "epochs": 1}
HOSTILE = ("<script>alert(1)</script>", "=cmd|'/c calc'!A1")


@dataclass
class Bench:
    """A study of twelve pictures to damage, and the commands to run on it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def manifest(self) -> Path:
        return self.folder / "data" / "labels.csv"

    @property
    def study(self) -> Path:
        return self.folder / "study.yaml"

    def picture(self, name: str) -> Path:
        return self.folder / "data" / name

    def append(self, *rows: str) -> None:
        with self.manifest.open("a") as stream:
            stream.writelines(f"{row}\n" for row in rows)

    def replace(self, old: str, new: str) -> None:
        self.manifest.write_text(self.manifest.read_text().replace(old, new))

    def change(self, **sections: Any) -> None:
        """Lay keys over the study; mappings are merged."""
        raw = yaml.safe_load(self.study.read_text())
        for name, value in sections.items():
            raw[name] = {**raw[name], **value} if isinstance(raw.get(name), dict) else value
        self.study.write_text(yaml.safe_dump(raw))

    def call(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """The document of a command on this study's root."""
        assert main([*map(str, arguments), "--json", "--root", str(self.folder / "root")]) == code
        streams = self.capsys.readouterr()
        assert "Traceback" not in streams.err
        document: dict[str, Any] = json.loads(streams.out)
        return document

    def plan(self) -> dict[str, Any]:
        return self.call("run", self.study, "--dry-run")

    def refused(self, code: int, *command: object) -> list[dict[str, str]]:
        """The faults of a command, by default of the plan; each must say where, what and how to mend it."""
        arguments = command or ("run", self.study, "--dry-run")
        error = self.call(*arguments, code=code)["error"]
        assert error["exit_code"] == code and error["message"]
        assert error["faults"], error["message"]
        for fault in error["faults"]:
            assert fault["where"] and fault["got"] and fault["expected"] and fault["fix"], fault
        faults: list[dict[str, str]] = error["faults"]
        return faults


def write_set(folder: Path, classes: tuple[str, str] = ("Crack", "Free")) -> None:
    """Write six pictures of each class, ``labels.csv`` with a part each, and a study that trains in a second."""
    data = folder / "data"
    data.mkdir(parents=True)
    rows = ["filename,label,part"]
    for name, label in zip(("Crack", "Free"), classes, strict=True):
        for number in range(6):
            file = f"{name}{number}.png"
            pixels = np.random.default_rng(zlib.crc32(file.encode())).integers(0, 256, (9, 12), np.uint8)
            Image.fromarray(pixels).save(data / file)
            rows.append(f"{file},{label},={name}{number}")
    (data / "labels.csv").write_text("\n".join(rows) + "\n")
    study = {
        "name": "tiles",
        "data": {"manifest": "data/labels.csv", "label": "label"},
        "split": {"holdout": 0.2, "n_splits": 2},
        "space": SPACE,
        "search": {"n_trials": 1},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    """A study without a fault."""
    write_set(tmp_path / "bench")
    return Bench(tmp_path / "bench", capsys)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with hostile labels and part names, and its finished search of one trial: seconds, hence shared."""
    folder = tmp_path_factory.mktemp("searched")
    write_set(folder, HOSTILE)
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("label: label", "label: label\n  group: part"))
    assert main(["search", str(study), "--root", str(folder / "root")]) == 0
    return folder


@pytest.fixture
def resumed(searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    """A copy of the searched study, as the next run finds it."""
    capsys.readouterr()
    return Bench(Path(shutil.copytree(searched, tmp_path / "resumed")), capsys)


def trials(bench: Bench) -> bytes:
    """The bytes of the study database."""
    return (bench.folder / "root" / "runs" / "tiles" / "study.db").read_bytes()


# Damages of the data, and where the faults must be: the endings of their places, in order.
Damage = Callable[[Bench], None]


def png(picture: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", **options)
    return stream.getvalue()


def bmp_bomb() -> bytes:
    """A BMP whose header claims 10 gigapixels."""
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "BMP")
    content = bytearray(stream.getvalue())
    content[18:26] = (100_000).to_bytes(4, "little") * 2
    return bytes(content)


def missing_columns(bench: Bench) -> None:
    bench.change(data={"filename": "file", "label": "class", "group": "lot"})


def empty_table(bench: Bench) -> None:
    bench.manifest.write_text("")


def latin1(bench: Bench) -> None:
    bench.manifest.write_bytes(bench.manifest.read_text().replace("Crack,", "F\u00ealure,").encode("latin-1"))


def repeated(bench: Bench) -> None:
    bench.append("Free0.png,Free,x", "Free1.png,Crack,x")


def small_classes(bench: Bench) -> None:
    for number, label in enumerate(("Fray", "Fray", "Hole")):
        shutil.copy(bench.picture("Free0.png"), bench.picture(f"x{number}.png"))
        Image.new("L", (9, 12), number).save(bench.picture(f"x{number}.png"))
        bench.append(f"x{number}.png,{label},x{number}")


def two_groups_for_one(bench: Bench) -> None:
    rows = [f"{name}{number}.png,{name}{number}" for name in ("Crack", "Free") for number in range(6)]
    (bench.folder / "parts.csv").write_text("\n".join(["filename,part", *rows, "Free0.png,other", "Free1.png,other"]))
    bench.change(data={"group": {"csv": "parts.csv", "column": "part"}})


def outside(bench: Bench) -> None:
    for number, name in enumerate(("../Free0.png", "/etc/passwd", "Fr\0ee.png")):
        bench.replace(f"Free{number}.png,", f"{name},")


def not_regular(bench: Bench) -> None:
    for number in range(3):
        bench.picture(f"Free{number}.png").rename(bench.folder / f"Free{number}.png")
    bench.picture("Free0.png").symlink_to(bench.folder / "Free0.png")
    os.mkfifo(bench.picture("Free1.png"))
    bench.picture("Free2.png").mkdir()


def bad_pictures(bench: Bench) -> None:
    whole = bench.picture("Crack1.png").read_bytes()
    bench.picture("Crack1.png").write_bytes(whole[: len(whole) // 2])
    bench.picture("Free0.png").write_bytes(b"")
    bench.picture("Free1.png").write_bytes(bmp_bomb())
    bench.picture("Free2.png").write_bytes(b"GIF89a" + bytes(40))
    bench.picture("Free3.png").unlink()


def table_pictures_and_classes(bench: Bench) -> None:
    bad_pictures(bench)
    bench.append("../x.png,Free,x", "Free4.png,Crack,x")
    bench.change(data={"pass_classes": ["Frei"]})


@pytest.mark.parametrize(
    ("damage", "places", "words"),
    [
        pytest.param(missing_columns, ["row 1", "row 1"], ["a column file", "a column class"], id="01"),
        pytest.param(empty_table, ["labels.csv"], ["empty file"], id="02"),
        pytest.param(latin1, ["labels.csv"], ["row 2", "iconv"], id="03"),
        pytest.param(repeated, ["row 14", "row 15"], ["duplicate filename", "conflicting labels"], id="04"),
        pytest.param(small_classes, ["class Fray", "class Hole"], ["at least 3", "data.rename"], id="05"),
        pytest.param(two_groups_for_one, ["row 14", "row 15"], ["Free0.png", "Free1.png"], id="06"),
        pytest.param(outside, ["row 8", "row 9", "row 10"], ["..", "absolute", "NUL"], id="07"),
        pytest.param(not_regular, ["row 8", "row 9", "row 10"], ["symbolic link", "pipe", "folder"], id="08"),
        pytest.param(
            bad_pictures,
            ["row 11", "row 3", "row 8", "row 9", "row 10"],
            ["no such file", "damaged bytes", "empty file", "64,000,000 pixels", "PNG, JPEG, BMP or TIFF"],
            id="11-12-13-16",
        ),
        pytest.param(
            table_pictures_and_classes,
            ["row 15", "row 11", "row 14", "row 3", "row 8", "row 9", "row 10", "pass_classes"],
            ["did you mean Free?"],
            id="all-at-once",
        ),
    ],
)
def test_data_faults_exit_3_all_at_once(bench: Bench, damage: Damage, places: list[str], words: list[str]) -> None:
    damage(bench)
    faults = bench.refused(3)
    assert [fault["where"].endswith(place) for fault, place in zip(faults, places, strict=True)] == [True] * len(places)
    text = json.dumps(faults)
    assert all(word in text for word in words)

    found = bench.call("data", "audit", bench.study)["problems"]  # the same faults are the audit's result
    assert found == faults


def test_data_faults_are_one_block_for_a_person(bench: Bench) -> None:
    bad_pictures(bench)
    assert main(["run", str(bench.study), "--dry-run", "--root", str(bench.folder / "root")]) == 3
    streams = bench.capsys.readouterr()
    block = streams.err[streams.err.index("error: ") :]
    assert streams.out == "" and block.startswith("error: the data has 5 faults\n")
    assert block.count("labels.csv, row ") == block.count("    fix ") == 5


@pytest.mark.parametrize("marked", [False, True])
def test_03_marks_and_line_ends_of_other_systems(bench: Bench, marked: bool) -> None:
    text = bench.manifest.read_text().replace("\n", "\r\n").encode()
    bench.manifest.write_bytes(b"\xef\xbb\xbf" * marked + text)
    assert bench.plan()["n"] == 12


def test_05_fewer_groups_than_folds_are_enough(bench: Bench) -> None:
    bench.change(split={"n_splits": 9})
    assert bench.plan()["n_splits"] == 9


def test_06_the_same_picture_twice_is_one_part(bench: Bench) -> None:
    shutil.copy(bench.picture("Free0.png"), bench.picture("Free1.png"))
    plan = bench.plan()
    assert plan["groups_per_class"]["Free"] == 5
    assert any("Free0" in note and "Free1" in note for note in plan["notes"])


def test_09_a_changed_picture_is_noticed(resumed: Bench) -> None:
    assert not any("changed" in note for note in resumed.plan()["notes"])
    before = trials(resumed)
    Image.new("L", (9, 12), 7).save(resumed.picture("Free0.png"))
    assert any("data has changed" in note for note in resumed.plan()["notes"])
    assert trials(resumed) == before


def test_10_hostile_labels_and_parts_run_nowhere(resumed: Bench) -> None:
    assert set(resumed.plan()["classes"]) == set(HOSTILE)
    for name in ("groups.csv", "splits.csv"):
        table = (resumed.folder / "root" / "runs" / "tiles" / name).read_text()
        assert "'=Crack0" in table and ",=" not in table
    resumed.picture("Crack0.png").rename(resumed.picture("=evil.png"))
    resumed.replace("Crack0.png,", "=evil.png,")
    table = Path(resumed.call("data", "audit", resumed.study)["groups_csv"]).read_text()
    assert "\n'=evil.png," in table and "\n=" not in table
    page = Path(resumed.call("report", "tiles")["report"]).read_text()
    assert "<script" not in page

    resumed.replace("<script>", "\x1b[2J<script>")
    assert main(["run", str(resumed.study), "--dry-run", "--root", str(resumed.folder / "new")]) == 0
    streams = resumed.capsys.readouterr()
    assert HOSTILE[1] in streams.out and "\x1b" not in streams.out + streams.err


def png_bomb(side: int) -> bytes:
    """A whole 1-bit PNG of zeros, made without the memory that decoding it would take."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    body = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


# The peak is read from /proc, because `ru_maxrss` starts at the peak of the process that forked.
MEASURED = """
import pathlib, re, sys
from fdsearch.__main__ import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory peak from Linux's /proc")
def test_13_a_bomb_costs_no_memory(bench: Bench) -> None:
    bench.picture("Free0.png").write_bytes(png_bomb(30_000))
    call = ["run", str(bench.study), "--dry-run", "--json", "--root", str(bench.folder / "root")]
    answer = subprocess.run([sys.executable, "-c", MEASURED, *call], capture_output=True, text=True, timeout=120)
    [fault] = json.loads(answer.stdout)["error"]["faults"]
    assert answer.returncode == 3 and fault["where"].endswith("row 8") and "more pixels" in fault["got"]
    assert int(answer.stderr.split()[-1]) < 500_000  # KiB; a decoded bomb alone is 900 MB


def test_14_15_wrong_extensions_and_other_kinds_of_pictures_are_noted(bench: Bench) -> None:
    Image.new("L", (8, 8), 3).save(bench.folder / "x.jpg")
    (bench.folder / "x.jpg").rename(bench.picture("Free0.png"))
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(bench.picture("Free1.png"))
    Image.new("CMYK", (8, 8)).save(bench.folder / "x.tif")
    (bench.folder / "x.tif").rename(bench.picture("Free2.png"))
    exif = Image.Exif()
    exif[0x0112] = 6
    bench.picture("Free3.png").write_bytes(png(Image.fromarray(np.eye(8, 12, dtype=np.uint8) * 255), exif=exif))
    notes = " ".join(bench.plan()["notes"])
    for words in ("is JPEG (first Free0.png)", "divided by 257 (first Free1.png)", "luma (first Free2.png)", "EXIF"):
        assert words in notes


@pytest.mark.parametrize("command", ["search", "run", "train"])
def test_39_a_root_that_cannot_be_written_is_refused_before_training(bench: Bench, command: str) -> None:
    (bench.folder / "root").touch()  # a file: refuses also the superuser, whom permissions do not stop
    [fault] = bench.refused(4, command, bench.study)
    assert fault["where"].startswith(str(bench.folder / "root"))


def test_16_a_picture_deleted_between_two_runs(resumed: Bench) -> None:
    before = trials(resumed)
    for name in ("Crack0.png", "Free2.png"):
        resumed.picture(name).unlink()
    for command in ((), ("search", resumed.study)):
        assert [fault["where"].rpartition(" ")[2] for fault in resumed.refused(3, *command)] == ["2", "10"]
    assert trials(resumed) == before


BASE = "name: tiles\ndata: {manifest: data/labels.csv, label: label}\n"
FLOAT = "space: {dropout: {type: float, low: %s, high: %s%s}}\n"


@pytest.mark.parametrize(
    ("text", "places", "words"),
    [
        pytest.param(
            "name: !!python/object/apply:os.system [true]\nspace: !!python/name:os.system x",
            ["$.name", "$.space"],
            "cannot run code",
            id="17",
        ),
        pytest.param(BASE + "space: &a {epochs: 1}\nsplit: *a", ["line 3"], "written out", id="18"),
        pytest.param(
            BASE + "space: {epochs: 1, epochs: 2}\nname: again", ["$.space.epochs", "$.name"], "remove one", id="19"
        ),
        pytest.param(
            BASE + "spcae: {}\nsplit: {n_split: 5}\nspace: {epoch: 3}",
            ["$.space.epoch", "$.spcae", "$.split.n_split"],
            "did you mean n_splits",
            id="19-unknown",
        ),
        pytest.param(
            BASE + "space:\n  dropout: {type: float, low: 0.5, high: 0.1}\n"
            "  learning_rate: {type: float, low: 0, high: 0.1, log: true}\n  epochs: {type: int, low: 9, high: 3}",
            ["$.space.dropout.low", "$.space.learning_rate.low", "$.space.epochs.low"],
            "drop log",
            id="20",
        ),
        pytest.param(
            BASE + "budget: .nan\nspace: {dropout: {type: float, low: 0, high: 1e400}}",
            ["$.budget", "$.space.dropout.high"],
            "a finite number",
            id="22",
        ),
        pytest.param(BASE.replace("tiles", "x" * 600) + "space: {epochs: 1}", ["$.name"], "at most 64", id="23"),
        pytest.param(
            "name: Tiles\ndata: {manifest: gone.csv, label: label, corrections: gone_too.csv}\nobjective: loss\n"
            "split: {holdout: 2}\nsearch: {sampler: tpee, n_trials: 0}\nspace: {epochs: 0, phases: scratch}",
            ["epochs", "phases", "name", "holdout", "objective", "n_trials", "sampler", "manifest", "corrections"],
            "did you mean tpe?",
            id="all-at-once",
        ),
    ],
)
def test_config_faults_exit_2_all_at_once(bench: Bench, text: str, places: list[str], words: str) -> None:
    bench.study.write_text(text)
    for command in ((), ("space", bench.study), ("search", bench.study)):
        faults = bench.refused(2, *command)
        assert all(fault["where"].startswith(str(bench.study)) for fault in faults)
        found = {fault["where"] for fault in faults}
        assert all(any(where.endswith(place) for where in found) for place in places), found
        assert words in json.dumps(faults)
    assert not (bench.folder / "root" / "runs").exists(), "a refused study leaves nothing"


def test_18_an_alias_bomb_is_refused_at_once(bench: Bench) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    bench.study.write_text("\n".join(lines))
    started = time.process_time()
    assert bench.refused(2)[0]["where"] == f"{bench.study}, line 1"
    assert time.process_time() - started < 1.0  # the catalogue's bound; the bomb itself would take hours


def test_18_a_nesting_bomb_is_refused_at_once(bench: Bench) -> None:
    bench.study.write_text("[" * 100_000)
    started = time.process_time()
    assert "levels" in bench.refused(2)[0]["got"]
    assert time.process_time() - started < 1.0  # as above; unchecked it would take minutes


def test_21_a_changed_question_is_refused_with_the_difference(resumed: Bench) -> None:
    before = trials(resumed)
    pool = {"type": "categorical", "choices": ["avg", "max"]}
    resumed.change(space={"epochs": {"type": "int", "low": 1, "high": 3}, "pooling": pool}, split={"n_splits": 3})
    for command in ((), ("search", resumed.study), ("run", resumed.study)):
        faults = {fault["where"]: fault for fault in resumed.refused(2, *command)}
        assert {"$.space.epochs.high", "$.space.pooling.choices", "$.split.n_splits"} <= set(faults)
        assert faults["$.split.n_splits"]["got"] == "3 now"
        assert faults["$.split.n_splits"]["expected"].startswith("2, ")
        assert "--fresh" in faults["$.split.n_splits"]["fix"]
    resumed.change(objective="loss")  # the direction is the objective's: there is no other
    assert [fault["where"].rpartition(" ")[2] for fault in resumed.refused(2)] == ["$.objective"]
    assert trials(resumed) == before
