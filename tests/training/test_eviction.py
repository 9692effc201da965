"""What goes when the prefix cache is full: the decision alone, without files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.errors import ConfigError
from fdsearch.training.eviction import ENVIRONMENT, MAX_BYTES, RESERVE_BYTES, Space, Stored, budget_bytes, plan

ENTRIES = st.lists(
    st.builds(
        Stored, st.text("abc", min_size=1, max_size=4), st.integers(0, 9), st.integers(0, 5).map(float), st.booleans()
    ),
    max_size=8,
    unique_by=lambda entry: entry.name,
)


@given(ENTRIES, st.integers(-5, 60))
def test_the_least_recently_used_go_and_no_more_than_must(entries: list[Stored], excess: int) -> None:
    going = plan(entries, excess)
    removable = [entry for entry in entries if not entry.in_use]
    if sum(entry.size for entry in removable) < excess:
        assert going is None
        return
    assert going is not None
    assert sum(entry.size for entry in going) >= excess
    assert not going or sum(entry.size for entry in going[:-1]) < excess
    staying = [entry for entry in removable if entry not in going]
    assert all(gone.used <= left.used for gone in going for left in staying)
    assert not any(entry.in_use for entry in going)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
def test_what_comes_after_the_excess_has_gone_fits_budget_and_disk(held: int, budget: int, needed: int) -> None:
    space = Space(held, RESERVE_BYTES + 50, budget)
    excess = space.excess(needed)
    assert held - excess + needed <= budget
    assert space.free + excess - needed >= RESERVE_BYTES
    assert excess == 0 or held - excess + needed == budget or space.free + excess - needed == RESERVE_BYTES


@pytest.mark.parametrize(
    ("text", "held", "free", "expected"),
    [
        (None, 10, 30, 20),
        (None, MAX_BYTES, 3 * MAX_BYTES, MAX_BYTES),
        ("", 10, 30, 20),
        ("0", 10, 30, 0),
        ("1.5", 10, 30, 1_500_000_000),
        ("200", 0, 0, 200 * 10**9),
    ],
)
def test_the_budget(monkeypatch: pytest.MonkeyPatch, text: str | None, held: int, free: int, expected: int) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    if text is not None:
        monkeypatch.setenv(ENVIRONMENT, text)
    assert budget_bytes(held, free) == expected


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "20 GB", "half"])
def test_a_budget_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(ENVIRONMENT, text)
    with pytest.raises(ConfigError, match=ENVIRONMENT):
        budget_bytes(0, 0)
