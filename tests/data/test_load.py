"""From a study's data section to a Dataset: order, labels, groups, digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fdsearch.config import DataSpec
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.files import digest_file
from fdsearch.imaging import load


def test_a_dataset_is_in_manifest_order(folder: Any) -> None:
    rows = [(f"{n}.png", f"{label},{n}") for n, label in enumerate(["10", "9", "9", "10", "10", "9"])]
    folder.write(rows, header="filename,label,exposure")
    dataset = folder.load(metadata=["exposure"], pass_classes=["9"])
    assert dataset.filenames == tuple(name for name, _ in rows)
    assert dataset.classes == ("9", "10") and dataset.pass_classes == ("9",)
    assert dataset.labels.dtype == dataset.groups.dtype == np.int64
    assert dataset.labels.tolist() == [1, 0, 0, 1, 1, 0]
    assert dataset.groups.tolist() == list(range(6)) and dataset.group_names == dataset.filenames
    assert dataset.metadata == {"exposure": ("0", "1", "2", "3", "4", "5")}
    assert dataset.content == tuple(digest_file(path) for path in dataset.paths)
    assert dataset.counts == {"9": 3, "10": 3}


def test_pixels_are_memory_mapped_in_the_same_order(good: Any) -> None:
    dataset = good.load()
    pixels = dataset.pixels(8, "pad")
    assert isinstance(pixels, np.memmap) and pixels.shape == (12, 8, 8, 1)
    np.testing.assert_array_equal(pixels[7], load(dataset.paths[7], 8, "pad"))


def test_loading_again_gives_the_same_identity_from_any_place(good: Any, tmp_path: Path) -> None:
    first = good.load()
    moved = tmp_path / "moved"
    good.root.rename(moved)
    spec = good.spec().model_copy(update={"manifest": moved / "labels.csv"})
    again = load_dataset(spec, PixelStore(tmp_path / "another cache"))
    assert again.identity == first.identity


@pytest.mark.parametrize("change", ["label", "picture", "group", "order"])
def test_what_changes_the_question_changes_a_digest_of_its_own(good: Any, change: str, picture: Any) -> None:
    first = good.load()
    lines = good.manifest.read_text().splitlines()
    changes: dict[str, Any] = {}
    if change == "label":
        good.manifest.write_text("\n".join([*lines[:-1], "Free5.png,Crack"]))
    elif change == "order":
        good.manifest.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    elif change == "picture":
        picture(good.root / "Free5.png", 1234)
    else:
        changes = {"group": {"filename": r"(?:Crack|Free)(\d)"}}
    other = good.load(**changes)
    differing = {
        name for name in ("digest", "label_digest", "group_digest") if getattr(first, name) != getattr(other, name)
    }
    expected = {
        "label": {"label_digest"},
        "picture": {"digest"},
        "group": {"group_digest"},
        "order": {"digest", "label_digest"},
    }
    assert differing == expected[change]
    assert first.identity != other.identity


def test_a_folder_of_class_folders(folder: Any, picture: Any) -> None:
    for label in ("Crack", "Free"):
        for number in range(3):
            picture(folder.root / "set" / label / f"lot{number}" / f"{label}.png", number + 10 * len(label))
    dataset = folder.load(manifest=folder.root / "set", group={"folder": 2})
    assert dataset.classes == ("Crack", "Free")
    assert dataset.filenames[0] == "Crack/lot0/Crack.png"
    assert dataset.group_names == ("lot0", "lot1", "lot2")


def test_the_ribbon_bond_set_as_it_is_shipped(tmp_path: Path) -> None:
    """Layout and columns of the challenge's files: nested folders, an unnamed index, window and lib, French labels."""
    french = {
        "GOOD": 6,
        "Boucle plate": 3,
        "Lift-off blanc": 3,
        "Lift-off noir": 3,
        "Missing": 8,
        "Short circuit MOS": 3,
    }
    labels = [label for label, number in french.items() for _ in range(number)]
    pictures = tmp_path / "input_train" / "input_train"
    pictures.mkdir(parents=True)
    lines = [",filename,window,lib,Label"]
    rng = np.random.default_rng(0)
    for number, label in enumerate(labels):
        name = f"{rng.bytes(6).hex()}_2005-{number:05d}.jpg"
        size = (126, 147) if number % 2 else (50, 51)
        Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(pictures / name)
        lines.append(f"{number},{name},{2003 + 2 * (number % 2)},Die0{number % 4 + 1},{label}")
    (tmp_path / "Y_train_eVW9jym.csv").write_text("\n".join(lines) + "\n")
    names = dict(
        zip(
            french,
            ["0_GOOD", "1_Flat loop", "2_White lift-off", "3_Black lift-off", "4_Missing", "5_Short circuit MOS"],
            strict=True,
        )
    )
    spec = DataSpec(
        manifest=tmp_path / "Y_train_eVW9jym.csv",
        images=pictures,
        label="Label",
        metadata=("window", "lib"),
        rename=names,
        pass_classes=("0_GOOD",),
    )
    dataset = load_dataset(spec, PixelStore(tmp_path / "cache"))
    assert dataset.counts == {names[label]: number for label, number in french.items()}
    assert dataset.classes == tuple(sorted(names.values()))
    assert set(dataset.metadata) == {"window", "lib"} and set(dataset.metadata["lib"]) == {
        f"Die0{n}" for n in range(1, 5)
    }
    assert dataset.pixels(32, "pad").shape == (len(labels), 32, 32, 1)


def test_magnetic_tiles(shared_data: Path, tmp_path: Path) -> None:
    tiles = shared_data / "magnetic_tile"
    spec = DataSpec.model_validate(
        {
            "manifest": tiles / "labels.csv",
            "label": "label",
            "group": {"csv": str(tiles / "tile_groups.csv"), "column": "tile_group"},
            "metadata": ["exposure"],
            "pass_classes": ["Free"],
        }
    )
    dataset = load_dataset(spec, PixelStore(tmp_path))
    assert dataset.counts == {"Blowhole": 115, "Break": 85, "Crack": 57, "Fray": 32, "Free": 952, "Uneven": 103}
    assert dataset.group_counts == {"Blowhole": 20, "Break": 16, "Crack": 9, "Fray": 7, "Free": 156, "Uneven": 17}
    assert len(dataset.group_names) == 217 and dataset.notes == ()
    assert dataset.pixels(64, "stretch").shape == (1344, 64, 64, 1)


def test_pistons_hold_copies(shared_data: Path, tmp_path: Path) -> None:
    spec = DataSpec(manifest=shared_data / "pistons" / "defect_log.csv", filename="image_path", label="target")
    dataset = load_dataset(spec, PixelStore(tmp_path))
    assert dataset.counts == {"0": 88, "1": 98, "2": 99}
    assert len(dataset.group_names) == 272  # 13 pictures are there twice
    assert any("defect_1/defect_45.jpeg + defect_1/defect_46.jpeg" in note for note in dataset.notes)


def test_groups_told_from_pictures_are_proposed_once(good: Any, tmp_path: Path) -> None:
    (good.root / "Free0.png").write_bytes((good.root / "Free5.png").read_bytes())
    first = load_dataset(good.spec(group="auto"), good.store, proposals=tmp_path / "groups")
    assert first.groups_inferred and first.group_names == tuple(n for n in first.filenames if n != "Free5.png")
    assert first.group_confidence is not None and first.group_confidence.shape == (12,)
    assert first.notes[0].startswith("groups were inferred")
    (proposal,) = (tmp_path / "groups").iterdir()
    proposal.write_text(proposal.read_text().replace("stands out", "STANDS OUT"))
    again = load_dataset(good.spec(group="auto"), good.store, proposals=tmp_path / "groups")
    assert again.identity == first.identity and "STANDS OUT" in " ".join(again.notes)


def test_declared_groups_are_certain(good: Any) -> None:
    dataset = good.load(group={"filename": r"(?:Crack|Free)(\d)"})
    assert not dataset.groups_inferred and dataset.group_confidence.tolist() == [1] * 12
