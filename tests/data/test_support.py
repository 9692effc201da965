"""How many parts are missing, and how many must be photographed so that dealing brings them."""

from __future__ import annotations

import numpy as np
import pytest

from fdsearch.data.folds import deal_holdout
from fdsearch.data.support import Wanted, missing_parts, parts_needed

COUNTS = {"development": {"Free": 125, "Fray": 6}, "holdout": {"Free": 31, "Fray": 1}}


def test_each_need_of_each_class_that_is_not_met_is_listed() -> None:
    wanted = [Wanted("development", 5, "some"), Wanted("development", 30, "many"), Wanted("holdout", 15, "a headline")]
    found = missing_parts(COUNTS, wanted, share=0.2)
    assert [(entry["class"], entry["purpose"], entry["missing"], entry["collect"]) for entry in found] == [
        ("Fray", "many", 24, 30),
        ("Fray", "a headline", 14, 66),
    ]


def test_where_a_rule_deals_the_missing_parts_themselves_are_asked_for() -> None:
    [entry] = missing_parts(COUNTS, [Wanted("holdout", 15, "a headline")], share=None)
    assert entry["missing"] == entry["collect"] == 14


def test_roles_that_are_not_dealt_lack_nothing() -> None:
    assert missing_parts({"development": {"a": 9}}, [Wanted("holdout", 15, "a headline")], share=0.2) == []


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.5])
@pytest.mark.parametrize(("role", "groups"), [("holdout", 3), ("holdout", 15), ("development", 5), ("development", 30)])
def test_so_many_parts_are_enough_and_one_less_is_not(role: str, groups: int, share: float) -> None:
    def dealt(total: int) -> int:
        labels = np.repeat([0, 1], total)
        sealed = int(deal_holdout(labels, np.arange(2 * total), share, 0)[:total].sum())
        return sealed if role == "holdout" else total - sealed

    total = parts_needed(role, groups, share)
    assert dealt(total) >= groups > dealt(total - 1)
