"""What a person reads about trust: everything that is known, and nothing of an older document that knows less."""

from __future__ import annotations

from typing import Any

import pytest

from fdsearch.cli import show_trust

RATE = {"rate": 0.02, "low": 0.001, "high": 0.1}
RUN: dict[str, Any] = {
    **{"study": "tiles", "n_trials": 15, "candidate": None, "champion": None, "decision": None},
    "groups": {"source": "inferred", "n": 217, "min_confidence": 0.61, "proposals": 0},
    "audit": {"problems": 0, "leaks": 3, "label_suspects": 41, "html": "/a/index.html"},
    "search": {
        **{"raw": 0.71, "optimism": 0.03, "corrected": 0.68, "at_least": True},
        "words": "having been chosen among 15 trials flatters it by at least 0.030",
    },
    "holdout": {"words": "not independent: 2 candidates have seen this holdout", "independent": False},
    "random_folds": {"macro_f1": 0.92, "grouped": 0.52, "n": 1104, "words": "they mix parts", "why": ""},
    "choice": {"winner": "trial-3", "best": "trial-7", "tied": ["trial-3"], "given_up": 0.0042, "why": "a tie"},
    "comparisons": [
        {"name": "trial-7", "gain": -0.004, "ci": [-0.03, 0.02], "level": "95 %", "tied": True, "t": {"p": 0.77}},
        {"name": "baseline", "gain": 0.06, "ci": None, "why": "4 parts", "claimed": False, "t": {"p": None}},
    ],
    "left_out": [
        {"column": "lib", "value": "Die03", "macro_f1": 0.5, "macro_f1_ci": [0.4, 0.6], "level": "95 %", "n": 80},
        {"column": "lib", "value": "Die04", "macro_f1": None, "why": "nothing else could teach it", "n": 3},
    ],
    "decision_evidence": {
        **{"needed": 2995, "n_defective": 60, "notes": ["the promise is about the development parts"]},
        "rates": {"training": {"escape": RATE, "review": RATE}, "line": {"escape": {"rate": None}}},
    },
    "calibration": {"ece": {"before": 0.12, "after": 0.03}},
    "repeatability": {"share": 0.9, "n_parts": 40},
    "agreement": {"why": "68 of 70 sealed parts get the same class"},
}


@pytest.mark.parametrize(
    "words",
    [
        "inferred from pictures, names, order and time, 217 parts",
        "3 leaks, 41 label suspects",
        "/a/index.html",
        "flatters it by at least 0.030, which leaves 0.680",
        "not independent: 2 candidates have seen this holdout",
        "0.920 on random folds, parts kept together 0.520; they mix parts",
        "trial-3, a tie; given up: 0.0042, the lead of trial-7",
        "a tie",
        "none (4 parts)",
        "omitted",
        "lib Die03",
        "none (nothing else could teach it)",
        "defective parts that pass: 0.020 (0.001 to 0.100)",
        "defective parts that pass, shares of the line: not given",
        "about 2995 defective parts; there are 60",
        "the promise is about the development parts",
        "expected calibration error 0.120 before, 0.030 after",
        "0.900 of 40 parts with several pictures",
        "68 of 70 sealed parts get the same class",
    ],
)
def test_a_run_says_how_far_it_can_be_trusted(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_trust.run(RUN)
    assert words in capsys.readouterr().out


def test_an_older_document_has_nothing_to_add(capsys: pytest.CaptureFixture[str]) -> None:
    show_trust.trust({"study": "tiles", "candidate": None, "holdout": {"n": 3}, "search": {"corrected": None}})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("key", [key for key in RUN if key != "study"])
def test_every_key_may_be_absent_or_null(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    absent = {name: value for name, value in RUN.items() if name != key}
    show_trust.trust(absent)
    show_trust.trust({**absent, key: None})
    assert capsys.readouterr().out


def test_a_plan_is_shown_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    show_trust.run({"study": "tiles", "pid": 3})
    assert capsys.readouterr().out.splitlines() == ["study  tiles", "pid    3"]
