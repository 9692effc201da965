"""Faults of classes and the notes a person should read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.data.survey import natural_key, survey
from fdsearch.progress import Silent


def look(folder: Any, **changes: Any) -> Any:
    return survey(folder.spec(**changes), folder.store, Silent())


@given(st.text())
def test_no_two_names_share_a_place(name: str) -> None:
    assert "".join(part for _, _, part in natural_key(name)) == name


@given(st.lists(st.integers()))
def test_integer_labels_are_ordered_as_numbers(numbers: list[int]) -> None:
    assert sorted(map(str, numbers), key=natural_key) == [str(number) for number in sorted(numbers)]


def test_good_data_has_no_fault(good: Any) -> None:
    found = look(good)
    assert found.faults == () and found.notes == () and found.classes == ("Crack", "Free")
    assert all(found.pictures)


@pytest.mark.parametrize(
    ("changes", "where", "got"),
    [
        ({"pass_classes": ["Fre"]}, "study: $.data.pass_classes", "Fre"),
        ({"rename": {"Crack": "Free"}}, "labels.csv", "the class Free alone"),
        ({"group": {"filename": "([A-Z])"}}, "labels.csv: class Crack", "1 groups"),
    ],
)
def test_faults_of_classes(good: Any, changes: Any, where: str, got: str) -> None:
    faults = look(good, **changes).faults
    assert faults[0].where.endswith(where) and got in faults[0].got


def test_a_lost_picture_does_not_make_its_class_too_small(folder: Any) -> None:
    folder.write([(f"{label}{n}.png", label) for label in "ab" for n in range(3)])
    (folder.root / "a0.png").write_bytes(b"")
    (fault,) = look(folder).faults
    assert fault.where.endswith("row 2") and "a0.png: an empty file" in fault.got
    assert "data.corrections" in fault.fix


def test_identical_pictures_with_two_labels_are_one_part_and_their_labels_are_not_compared(good: Any) -> None:
    """Whoever knows which labels are sealed compares them: the audit."""
    (good.root / "Free0.png").write_bytes((good.root / "Crack0.png").read_bytes())
    found = look(good)
    assert found.faults == () and found.groups.ids[0] == found.groups.ids[6]
    assert found.notes == ("pictures joined because they hold the same pixels: Crack0.png + Free0.png",)


def test_pictures_are_compared_only_where_groups_are_to_be_told_and_the_data_can_be_used(good: Any) -> None:
    assert look(good).parts is None
    found = look(good, group="auto")
    assert found.parts.ids.tolist() == found.groups.ids.tolist() and found.groups.inferred
    (good.root / "Free0.png").write_bytes(b"")
    broken = look(good, group="auto")
    assert broken.parts is None and not broken.groups.inferred and len(broken.faults) == 1


def test_a_class_with_too_few_inferred_groups_says_where_to_look(good: Any) -> None:
    for number in range(1, 6):
        (good.root / f"Free{number}.png").write_bytes((good.root / "Free0.png").read_bytes())
    (fault,) = look(good, group="auto").faults
    assert fault.got == "1 groups" and "data audit" in fault.fix
