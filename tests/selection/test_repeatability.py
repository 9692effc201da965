"""Which parts hang on the picture that was taken, and the order in which a person should see them."""

from __future__ import annotations

import pytest

from fdsearch.selection.repeatability import repeatability

P, V, R = "pass", "review", "reject"


def of(parts: dict[str, list[str]]) -> dict[str, object]:
    decisions = [decision for several in parts.values() for decision in several]
    groups = [name for name, several in parts.items() for _ in several]
    return repeatability(decisions, groups, [f"{number}.png" for number in range(len(groups))])


@pytest.mark.parametrize(
    ("parts", "share", "n_parts"),
    [
        ({"a": [P, P], "b": [R, R, R]}, 1.0, 2),
        ({"a": [P, P], "b": [R, R, P], "c": [V]}, 0.5, 2),
        ({"a": [P, V], "b": [R, V]}, 0.0, 2),
    ],
)
def test_share_is_of_the_parts_with_several_pictures(parts: dict[str, list[str]], share: float, n_parts: int) -> None:
    found = of(parts)
    assert (found["share"], found["n_parts"], found["why"]) == (share, n_parts, "")


@pytest.mark.parametrize("parts", [{}, {"a": [P], "b": [R]}])
def test_without_a_second_picture_there_is_no_share(parts: dict[str, list[str]]) -> None:
    assert of(parts) == {"share": None, "n_parts": 0, "worst": [], "why": "no part has several pictures"}


def test_the_most_divided_parts_come_first() -> None:
    found = of({"calm": [P, P], "near": [P, V], "mostly": [P, P, P, R], "torn": [P, R], "also near": [V, R, R]})
    assert [row["part"] for row in found["worst"]] == ["torn", "mostly", "near", "also near"]  # type: ignore[attr-defined]


def test_at_most_ten_parts_are_shown_with_all_their_pictures() -> None:
    found = repeatability(
        [P, R, V] * 12, [f"part {row // 3}" for row in range(36)], [f"{row}.png" for row in range(36)]
    )
    assert (found["share"], len(found["worst"])) == (0.0, 10)
    assert found["worst"][0] == {
        "part": "part 0",
        "pictures": [
            {"filename": "0.png", "decision": P},
            {"filename": "1.png", "decision": R},
            {"filename": "2.png", "decision": V},
        ],
    }
