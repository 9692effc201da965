"""Each source of groups: what it reads and which rows it faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdsearch.data.group_sources import declared_groups, moments
from fdsearch.data.manifest import read_manifest

ROWS = [
    ("lot1_a/x.png", "p1,2026-09-01T10:00:00"),
    ("lot1_b/x.png", "p2,2026-09-01T10:00:50"),
    ("lot2/y/z.png", "p1,x"),
]
HEADER = "filename,part,taken_at,label"


@pytest.fixture
def parts(folder: Any) -> Any:
    folder.write([(name, f"{rest},Free") for name, rest in ROWS], header=HEADER)
    return folder


def ask(folder: Any, group: Any, **changes: Any) -> Any:
    spec = folder.spec(group=group, **changes)
    return declared_groups(spec, read_manifest(spec))


@pytest.mark.parametrize(
    ("group", "names"),
    [
        (None, ["", "", ""]),
        ("auto", ["", "", ""]),
        ({"auto": True, "time": "taken_at"}, ["", "", ""]),
        ("part", ["p1", "p2", "p1"]),
        ({"filename": r"lot(\d+)"}, ["1", "1", "2"]),
        ({"folder": 1}, ["lot1_a", "lot1_b", "lot2"]),
    ],
)
def test_sources(parts: Any, group: Any, names: list[str]) -> None:
    assert ask(parts, group) == (names, [])


@pytest.mark.parametrize(
    ("group", "rows", "got"),
    [
        ({"filename": r"lot1_(\w)"}, [4], "a filename that does not match"),
        ({"folder": 2}, [2, 3], "a path that is not deep enough"),
        ({"time": "taken_at", "gap": "60s"}, [4], "x in taken_at"),
        ("prat", [1], "the columns part, taken_at"),
        ({"time": "taken", "gap": "60s"}, [1], "the columns part, taken_at"),
        ({"auto": True, "time": "taken"}, [1], "the columns part, taken_at"),
    ],
)
def test_rows_without_a_group_are_faults(parts: Any, group: Any, rows: list[int], got: str) -> None:
    _, faults = ask(parts, group)
    assert [int(fault.where.rpartition(" ")[2]) for fault in faults] == rows
    assert all(got in fault.got for fault in faults)


def test_an_empty_cell_is_a_fault_unless_the_corrections_fill_it(folder: Any) -> None:
    folder.write([("a.png", ",Free"), ("b.png", "p1,Free")], header="filename,part,label")
    (fault,) = ask(folder, "part")[1]
    assert fault.where.endswith("row 2") and "nothing in part" in fault.got
    corrections = folder.root / "c.csv"
    corrections.write_text("filename,group\na.png,p9\n")
    assert ask(folder, "part", corrections=corrections) == (["p9", "p1"], [])


@pytest.mark.parametrize(
    ("times", "groups"),
    [
        (["2026-09-01T10:00:00", "2026-09-01T10:01:00", "2026-09-01T10:02:00"], [0, 0, 0]),  # each gap is exactly 60 s
        (["2026-09-01T10:00:00", "2026-09-01T10:01:01", "2026-09-01T10:00:30"], [0, 0, 0]),  # not in order
        (["2026-09-01T10:05:00", "2026-09-01T10:00:00", "2026-09-01T10:05:10"], [0, 1, 0]),
        (["2026-09-01 10:00:00+02:00", "2026-09-01T08:00:30Z", "2026-09-01T10:00:00"], [0, 0, 1]),
        (["0", "60.0", "121"], [0, 0, 1]),
    ],
)
def test_a_gap_in_time_begins_a_group(folder: Any, times: list[str], groups: list[int]) -> None:
    folder.write([(f"{n}.png", f"{time},Free") for n, time in enumerate(times)], header="filename,taken_at,label")
    names, faults = ask(folder, {"time": "taken_at", "gap": "60s"})
    assert faults == []
    assert [list(dict.fromkeys(names)).index(name) for name in names] == groups


def test_a_table_of_groups(parts: Any) -> None:
    table = parts.root / "groups.csv"
    table.write_text(
        "group,filename\n" + "".join(f"g{n % 2},{name}\n" for n, (name, _) in enumerate(ROWS)) + "g,other.png\n"
    )
    assert ask(parts, {"csv": str(table), "column": "group"}) == (["g0", "g1", "g0"], [])


@pytest.mark.parametrize(
    ("text", "where", "got"),
    [
        ("group,filename\ng,lot1_a/x.png\ng,lot1_b/x.png\n", "labels.csv, row 4", "no group"),
        ("group,filename\ng,lot1_a/x.png\nh,lot1_a/x.png\n", "groups.csv, row 3", "in h and in g"),
        ("part,filename\ng,a\n", "groups.csv, row 1", "the columns part, filename"),
        ("group,image\ng,a\n", "groups.csv, row 1", "the columns group, image"),
        ("", "groups.csv", "an empty file"),
    ],
)
def test_faults_of_a_table_of_groups(parts: Any, text: str, where: str, got: str) -> None:
    table = parts.root / "groups.csv"
    table.write_text(text)
    _, faults = ask(parts, {"csv": str(table), "column": "group"})
    assert faults[0].where.endswith(where) and got in faults[0].got


def when(folder: Any, group: Any) -> Any:
    spec = folder.spec(group=group)
    return moments(spec, read_manifest(spec))


def test_times_as_a_clue(parts: Any) -> None:
    found = when(parts, {"auto": True, "time": "taken_at"})
    assert found[1] - found[0] == 50 and np.isnan(found[2])
    assert when(parts, "auto") is None  # one cell is no time
    assert when(parts, {"auto": True, "time": "taken"}) is None


def test_what_is_no_moment_is_not_known(folder: Any) -> None:
    rows = [(f"{n}.png", f"{time},Free") for n, time in enumerate(["5", "inf", "nan"])]
    folder.write(rows, header="filename,at,label")
    found = when(folder, {"auto": True, "time": "at"})
    assert found[0] == 5 and np.isnan(found[1:]).all()


def test_a_column_of_times_is_found_without_being_named(folder: Any) -> None:
    rows = [(f"{n}.png", f"2026-09-0{n + 1},2026-09-01 10:00:0{n},Free") for n in range(3)]
    folder.write(rows, header="filename,day,shot,label")
    assert np.diff(when(folder, "auto")).tolist() == [1, 1]
