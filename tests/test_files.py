"""Bytes on disk: one encoding, whole files, safe cells."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.errors import ResourceError, StorageError
from fdsearch.files import canonical_json, csv_cell, digest_json, disk_errors, write_atomic

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest_json(dict(reversed(list(value.items())))) == digest_json(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_what_is_no_json_has_no_encoding(value: object) -> None:
    with pytest.raises(ValueError):
        canonical_json(value)


def test_a_write_that_fails_leaves_the_old_file_and_no_debris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.json"
    write_atomic(file, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_files_are_not_for_everybody_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, ResourceError), (errno.EDQUOT, ResourceError), (errno.EACCES, StorageError)]
)
def test_a_full_disk_is_told_from_a_forbidden_one(tmp_path: Path, number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind), disk_errors(tmp_path, "pictures"):
        raise OSError(number, os.strerror(number))


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    assert csv_cell(text)[:1] not in tuple("=+-@\t\r")
