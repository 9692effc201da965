"""Names and labels: what is read, corrected, renamed and refused."""

from __future__ import annotations

from typing import Any

import pytest

from fdsearch.data.manifest import read_manifest


def labels(manifest: Any) -> dict[str, str]:
    return {row.filename: row.label for row in manifest.rows}


def test_rows_keep_order_other_columns_and_their_place(folder: Any) -> None:
    folder.write([("b.png", "Free,3"), ("a.png", "Crack,4")], header="filename,label,exposure")
    manifest = read_manifest(folder.spec(metadata=["exposure"]))
    assert manifest.faults == []
    assert [(row.filename, row.label, row.cells["exposure"]) for row in manifest.rows] == [
        ("b.png", "Free", "3"),
        ("a.png", "Crack", "4"),
    ]
    assert manifest.rows[1].where == f"{folder.manifest}, row 3"
    assert manifest.rows[1].path == folder.root / "a.png"
    assert manifest.columns == ("exposure",)


def test_the_study_names_columns_and_images(folder: Any, picture: Any) -> None:
    picture(folder.root / "elsewhere" / "a.png")
    folder.write([("a.png", "2")], header="image_path,target", pictures=False)
    changes = {"filename": "image_path", "label": "target", "images": folder.root / "elsewhere"}
    assert labels(read_manifest(folder.spec(**changes))) == {"a.png": "2"}


def test_labels_are_renamed(folder: Any) -> None:
    folder.write([("a.png", "Boucle plate"), ("b.png", "0"), ("c.png", "Missing")])
    manifest = read_manifest(folder.spec(rename={"Boucle plate": "1_Flat loop", 0: "0_GOOD", "Mising": "4"}))
    assert labels(manifest) == {"a.png": "1_Flat loop", "b.png": "0_GOOD", "c.png": "Missing"}
    assert manifest.faults == []
    assert any("Mising" in note and "did you mean Missing?" in note for note in manifest.notes)


def test_corrections_relabel_exclude_and_group(folder: Any) -> None:
    folder.write([("a.png", "Free"), ("b.png", "Free"), ("c.png", "Free")])
    corrections = folder.root / "corrections.csv"
    corrections.write_text(
        "filename,label,exclude,group,by,reason\na.png,Crack,,,me,seen\nb.png,,1,,me,blurred\nc.png,,,p7,me,same part\n"
    )
    manifest = read_manifest(folder.spec(corrections=corrections))
    assert labels(manifest) == {"a.png": "Crack", "c.png": "Free"}
    assert [row.group for row in manifest.rows] == ["", "p7"]
    assert "corrections: 3; rows excluded: 1" in manifest.notes


def test_a_correction_is_renamed_like_the_manifest(folder: Any) -> None:
    folder.write([("a.png", "0")])
    corrections = folder.root / "corrections.csv"
    corrections.write_text("filename,label\na.png,1\n")
    assert labels(read_manifest(folder.spec(corrections=corrections, rename={1: "Crack"}))) == {"a.png": "Crack"}


def test_corrections_mend_conflicts_and_missing_files(folder: Any) -> None:
    folder.write([("a.png", "Free"), ("b.png", "")])
    with folder.manifest.open("a") as stream:
        stream.write("gone.png,Free\n")
    corrections = folder.root / "corrections.csv"
    corrections.write_text("filename,label,exclude\nb.png,Crack,\ngone.png,,yes\n")
    assert len(read_manifest(folder.spec()).faults) == 2
    assert read_manifest(folder.spec(corrections=corrections)).faults == []


@pytest.mark.parametrize(
    ("rows", "row", "got"),
    [
        ([("a.png", "x"), ("a.png", "x")], 3, "duplicate filename"),
        ([("a.png", "x"), ("./a.png", "x")], 3, "duplicate filename"),
        ([("a.png", "x"), ("a.png", "y")], 3, "conflicting labels"),
        ([("a.png", "x"), ("b.png", " ")], 3, "no label for b.png"),
        ([("", "x")], 2, "an empty filename"),
    ],
)
def test_faults_of_rows(folder: Any, rows: Any, row: int, got: str) -> None:
    folder.write([("a.png", "x")])
    folder.write(rows, pictures=False)
    if any(name == "b.png" for name, _ in rows):
        (folder.root / "b.png").write_bytes((folder.root / "a.png").read_bytes())
    (fault,) = read_manifest(folder.spec()).faults
    assert fault.where == f"{folder.manifest}, row {row}"
    assert got in fault.got


def test_all_faults_at_once(folder: Any) -> None:
    folder.write([("a.png", "x")])
    folder.write([("a.png", "x"), ("../a.png", "x"), ("a.png", "y"), ("gone.png", "x")], pictures=False)
    assert [fault.where.rpartition(" ")[2] for fault in read_manifest(folder.spec()).faults] == ["4", "3", "5"]


def test_excluding_everything_is_a_fault(folder: Any) -> None:
    folder.write([("a.png", "x")])
    corrections = folder.root / "corrections.csv"
    corrections.write_text("filename,exclude\na.png,1\n")
    (fault,) = read_manifest(folder.spec(corrections=corrections)).faults
    assert fault.got == "no pictures"


def test_an_unreadable_manifest_does_not_blame_its_corrections(folder: Any) -> None:
    folder.manifest.write_text("")
    corrections = folder.root / "corrections.csv"
    corrections.write_text("filename,exclude\na.png,1\n")
    assert len(read_manifest(folder.spec(corrections=corrections)).faults) == 1


def test_a_missing_images_folder_is_one_fault(folder: Any) -> None:
    folder.write([("a.png", "x"), ("b.png", "x")])
    (fault,) = read_manifest(folder.spec(images=folder.root / "nowhere")).faults
    assert fault.got == "no such folder"


def test_a_folder_with_a_subfolder_per_class(folder: Any, picture: Any) -> None:
    for name in ("Crack/a.png", "Crack/lot7/b.JPG", "Free/a.png", ".hidden/c.png", "Free/.DS_Store"):
        picture(folder.root / "set" / "p.png").rename(
            (folder.root / "set" / name).parent.mkdir(parents=True, exist_ok=True) or folder.root / "set" / name
        )
    (folder.root / "set" / "Free" / "notes.txt").write_text("x")
    manifest = read_manifest(folder.spec(manifest=folder.root / "set"))
    assert labels(manifest) == {"Crack/a.png": "Crack", "Crack/lot7/b.JPG": "Crack", "Free/a.png": "Free"}
    assert manifest.faults == []
    assert manifest.notes == ("files that are no pictures by their extension: 1 (Free/notes.txt)",)


def test_what_a_folder_could_hide_is_a_fault(folder: Any, picture: Any) -> None:
    root = folder.root / "set"
    picture(root / "Free" / "a.png")
    picture(root / "loose.png")
    (root / "Crack").symlink_to(root / "Free")
    (root / "Free" / "link.png").symlink_to(root / "Free" / "a.png")
    faults = read_manifest(folder.spec(manifest=root, metadata=["window"])).faults
    assert sorted(fault.where.rpartition("/")[2] for fault in faults) == ["Crack", "link.png", "loose.png", "set"]


def test_a_folder_without_pictures(folder: Any) -> None:
    (fault,) = read_manifest(folder.spec(manifest=folder.root)).faults
    assert fault.got == "no pictures"
