"""First looks at folders as people have them; every study that comes out is one that fdsearch accepts."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdsearch.config import StudySpec
from fdsearch.data.headers import median_size
from fdsearch.data.images import PixelStore
from fdsearch.data.inspect import Inspection, inspect_folder, study_text
from fdsearch.data.load import load_dataset
from fdsearch.data.partition import assign
from fdsearch.data.synthetic import synthesize
from fdsearch.errors import DataError
from fdsearch.shipped import shipped
from fdsearch.study_reader import load_study


def picture(path: Path, shade: int = 128) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path)


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def study(found: Inspection, folder: Path) -> StudySpec:
    """The study as `run` would read it."""
    file = folder / "study.yaml"
    file.write_text(study_text(found), encoding="utf-8")
    return load_study(file)


def rows_of(folder: Path, labels: str, **columns: str) -> list[dict[str, str]]:
    """A picture and a row per letter of `labels`; further columns have one letter per row, too."""
    rows = []
    for number, label in enumerate(labels):
        picture(folder / f"{number}.png", number)
        more = {name: letters[number] for name, letters in columns.items()}
        rows.append({"filename": f"{number}.png", "label": label, **more})
    return rows


def test_class_folders(tmp_path: Path) -> None:
    for label, count in {"ok": 4, "scratch 10": 3, "scratch 9": 5}.items():
        for number in range(count):
            picture(tmp_path / "My Line" / label / f"{number}.png")
    found = inspect_folder(tmp_path / "My Line")
    assert (found.name, found.n, found.group) == ("my-line", 12, "auto")
    assert list(found.classes.items()) == [("ok", 4), ("scratch 9", 5), ("scratch 10", 3)]
    assert found.pass_classes == ("ok",)
    spec = study(found, tmp_path)
    assert spec.data.manifest == tmp_path / "My Line"


def test_table_with_parts_and_metadata(tmp_path: Path) -> None:
    write_csv(tmp_path / "all.csv", rows_of(tmp_path, "aaaabbbb", serial="11223345", lib="xyxyxyxy"))
    found = inspect_folder(tmp_path)
    assert (found.manifest, found.images) == (tmp_path / "all.csv", tmp_path)
    assert (found.filename, found.label, found.group, found.metadata) == ("filename", "label", "serial", ("lib",))
    assert study(found, tmp_path).data.group.column == "serial"


def test_parts_in_a_second_table(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "aaaabbbb", part="11223345")
    write_csv(tmp_path / "labels.csv", [{"filename": row["filename"], "label": row["label"]} for row in rows])
    write_csv(tmp_path / "parts.csv", [{"filename": row["filename"], "part": row["part"]} for row in rows])
    found = inspect_folder(tmp_path)
    assert found.group == {"csv": str(tmp_path / "parts.csv"), "column": "part"}
    group = study(found, tmp_path).data.group
    assert (group.csv, group.column) == (tmp_path / "parts.csv", "part")


def test_the_study_leaves_the_space_open_and_says_why_of_the_rest(tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", rows_of(tmp_path, "a" * 12 + "b" * 11, serial="11223344556677889900aab"))
    (tmp_path / "3.png").write_bytes(b"no picture")
    found = inspect_folder(tmp_path)
    assert found.size == (8, 8)
    spec = study(found, tmp_path)
    assert spec.undecided and spec.chosen == ("space", "n_trials")
    assert [why.partition(":")[0] for why in found.why] == ["classes", "group", "n_splits", "space", "budget"]
    assert "23 pictures of about 8 x 8 px" in found.why[0] and "column serial" in found.why[1]
    assert "5, for the rarest class, b, has 11" in found.why[2]
    assert all(f"#   {why}" in study_text(found) for why in found.why)


def test_headers_that_cannot_be_read_tell_no_size(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    assert median_size([tmp_path / "a.png", tmp_path / "absent.png"]) is None
    assert median_size([]) is None


FRENCH = {
    "0_GOOD": "GOOD",
    "1_Flat loop": "Boucle plate",
    "2_White lift-off": "Lift-off blanc",
    "3_Black lift-off": "Lift-off noir",
    "4_Missing": "Missing",
    "5_Short circuit MOS": "Short circuit MOS",
}


@pytest.fixture(scope="module")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files laid out and named as the ribbon-bond challenge ships them, in a folder called `valeo`."""
    drawn, root = tmp_path_factory.mktemp("drawn"), tmp_path_factory.mktemp("data") / "valeo"
    synthesize(drawn, dict.fromkeys(FRENCH, 12), seed=1, size=48)
    pictures = root / "input_train" / "input_train"
    pictures.mkdir(parents=True)
    with (drawn / "labels.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    lines = [",filename,window,lib,Label"]
    for number, row in enumerate(table):
        name = Path(row["filename"]).name
        (drawn / row["filename"]).rename(pictures / name)
        lines.append(f"{number},{name},{row['window']},{row['lib']},{FRENCH[row['Label']]}")
    (root / "Y_train_eVW9jym.csv").write_text("\n".join(lines) + "\n")
    picture(root / "input_test" / "input_test" / "t.png")
    (root / "X_test_yDR9vQ7.csv").write_text(",filename,window,lib\n0,t.png,2003,Die01\n")
    return root


def test_layout_of_the_ribbon_bond_challenge(challenge: Path, tmp_path: Path) -> None:
    """An index column, pictures in a folder within a folder, and a test table without labels."""
    found = inspect_folder(challenge)
    assert (found.manifest.name, found.images) == ("Y_train_eVW9jym.csv", challenge / "input_train" / "input_train")
    assert found.classes == dict.fromkeys(sorted(FRENCH.values()), 12)
    assert (found.label, found.group, found.pass_classes) == ("Label", "auto", ("GOOD",))
    assert set(found.metadata) == {"window", "lib"}
    dataset = load_dataset(study(found, tmp_path).data, PixelStore(tmp_path / "pixels"))
    assert dataset.counts == found.classes


def test_the_shipped_study_reads_the_challenge(challenge: Path, tmp_path: Path) -> None:
    spec = load_study(shipped("studies") / "valeo.yaml", data_root=challenge.parent)
    dataset = load_dataset(spec.data, PixelStore(tmp_path / "pixels"))
    assert dataset.counts == dict.fromkeys(FRENCH, 12)
    partition = assign(dataset, spec.split, tmp_path / "partition.csv")
    sealed = dataset.labels[partition.holdout.rows]
    assert np.bincount(sealed, minlength=len(FRENCH)).min() >= 1
    development = dataset.groups[partition.development.rows]
    assert not set(development) & set(dataset.groups[partition.holdout.rows])
    assert len(partition.folds) == spec.split.n_splits


def test_integer_labels(tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", rows_of(tmp_path, "0011222"))
    found = inspect_folder(tmp_path)
    assert found.classes == {"0": 2, "1": 2, "2": 3}
    assert found.pass_classes == ()
    assert study(found, tmp_path).data.label == "label"


@pytest.mark.parametrize(
    "label", ["no", "1e3", "a: b", "#x", "'", '"', "{a}", "<script>", "null", "ä\u2028b", "- x", "*a"]
)
def test_odd_names_reach_the_study_unchanged(tmp_path: Path, label: str) -> None:
    folder = tmp_path / "pictures"
    rows = [{**row, label: "xy"[int(number) % 2]} for number, row in enumerate(rows_of(folder, "abababab"))]
    write_csv(folder / "labels.csv", [{**row, "label": "good" if row["label"] == "a" else label} for row in rows])
    found = inspect_folder(folder)
    assert set(found.classes) == {"good", label.strip()}
    spec = study(found, tmp_path)
    assert spec.data.metadata == (label,)
    assert spec.data.pass_classes == ("good",)


@pytest.mark.parametrize("folder", ["My Pictures (2026)", "ÄÖÜ", "..-", "x" * 100, "a/b.c_d"])
def test_names_of_studies(tmp_path: Path, folder: str) -> None:
    write_csv_folder = tmp_path / folder
    rows = rows_of(write_csv_folder, "aabb")
    write_csv(write_csv_folder / "labels.csv", rows)
    assert study(inspect_folder(write_csv_folder), tmp_path).name


def test_a_rare_class_is_pointed_out(tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", rows_of(tmp_path, "aaaaaaaabb"))
    text = study_text(inspect_folder(tmp_path))
    assert "fewer than 3 pictures, which is refused: b" in text
    assert "n_splits: 3" in text


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (None, "0 subfolders with pictures"),
        ("", "an empty file"),
        ("filename,label\nabsent.png,a\n", "no column that names pictures"),
        ("filename\n0.png\n", "no column of labels"),
        ("filename,label\n0.png\n", "1 cells"),
    ],
)
def test_folders_without_labels_say_what_was_looked_at(tmp_path: Path, table: str | None, words: str) -> None:
    picture(tmp_path / "0.png")
    if table is not None:
        (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(DataError) as caught:
        inspect_folder(tmp_path)
    assert words in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        inspect_folder(tmp_path / "absent")


def test_the_real_sets(shared_data: Path, tmp_path: Path) -> None:
    shared_data = shared_data.resolve()
    tiles = inspect_folder(shared_data / "magnetic_tile")
    assert (tiles.n, tiles.label, tiles.metadata) == (1344, "label", ("exposure",))
    assert tiles.group == {"csv": str(shared_data / "magnetic_tile" / "tile_groups.csv"), "column": "tile_group"}
    assert tiles.pass_classes == ("Free",)
    assert study(tiles, tmp_path).name == "magnetic_tile"
    pistons = inspect_folder(shared_data / "pistons")
    assert (pistons.filename, pistons.label) == ("image_path", "target")
    assert pistons.classes == {"0": 88, "1": 98, "2": 99}
