"""The report: complete, self-contained, inert whatever the labels say, and whole when figures are missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from browser import MISSING, PROGRAM, shown
from hypothesis import given, settings
from hypothesis import strategies as st
from trusted import trusted

from fdsearch.report.html import champion_sentence, confusion_rows, render, score_rows

EVIL = "<script>document.title='pwned'</script>"
CLASSES = ["0_GOOD", "1_Flat loop", EVIL]


def curve(start: float) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "phase": "head",
            "loss": start / (epoch + 1),
            "accuracy": 0.5 + epoch / 20,
            "val_loss": start / (epoch + 1) + 0.1,
            "val_accuracy": 0.4 + epoch / 20,
            "val_macro_f1": 0.3 + epoch / 20,
        }
        for epoch in range(6)
    ]


def tables() -> dict[str, Any]:
    row = {"precision": 0.8, "recall": None, "f1": 0.77, "support": 12, "groups": 6}
    return {
        "study": "tiles",
        "n_trials": 3,
        "n_complete": 2,
        "n_pruned": 0,
        "n_failed": 1,
        "best_value": 0.69,
        "candidate": {
            "name": "tiles",
            "version": 2,
            "alias": "challenger",
            "gates": [{"name": "min_macro_f1", "figure": None, "threshold": 0.4, "holds": False, "why": "no interval"}],
        },
        "champion": {"name": "tiles", "version": 1},
        "cv": {
            **{"macro_f1_mean": 0.671, "macro_f1_ci": [0.58, 0.74], "level": "approximately 95 %", "why": None},
            **{"n": 240, "n_groups": 128, "min_groups": 7, "n_splits": 5, "n_repeats": 2},
        },
        "baseline": {
            "macro_f1_mean": 0.61,
            "macro_f1_ci": [0.53, 0.68],
            "gain": 0.061,
            "gain_ci": [0.012, 0.11],
            "gain_claimed": True,
        },
        "holdout": {
            **{"n": 60, "n_groups": 31, "macro_f1": 0.65, "macro_f1_ci": None, "why": "a class has 4 parts"},
            **{"per_class": dict.fromkeys(CLASSES, row), "confusion": [[5, 0, 0], [0, 0, 4], [1, 0, 2]]},
            **{"recall_bounds": {EVIL: [0.2, 0.9]}, "openings": 2, "min_groups": 4},
        },
        "headline": {"value": 0.645, "ci": [0.55, 0.71], "source": "out_of_fold", "min_groups": 7},
        "optimism": 0.045,
        "search": {"optimism": 0.045, "corrected": 0.645, "raw": 0.69, "n_trials": 2},
        "decision": None,
        "decision_why": "no pass class",
        "notes": [EVIL],
        "per_class": dict.fromkeys(CLASSES, row),
        "splits": "/r/splits.csv",
        "seconds": 754.2,
        "curves": {"fold 0": curve(1.6), EVIL: curve(1.4)},
        "confusion": [[38, 1, 0], [2, 9, 0], [0, 0, 0]],
        "classes": CLASSES,
        "trials": [
            {"number": 2, "state": "COMPLETE", "value": 0.69, "params": {"phases": "head", "learning_rate": 1e-3}},
            {"number": 0, "state": "COMPLETE", "value": 0.61, "params": {"phases": "probe"}},
            {"number": 1, "state": "FAIL", "value": None, "params": {"phases": EVIL}},
        ],
    }


@pytest.fixture(scope="module")
def page() -> str:
    return render(tables())


@pytest.mark.parametrize(
    "words",
    [
        "The candidate tiles:2 is challenger; the champion stays tiles:1.",
        "0.580 to 0.740 (approximately 95 %)",
        "headline (out of fold, optimism removed)",
        "0.200 to 0.900 (holdout)",
        "2 times",
        "none: no pass class",
        "none (a class has 4 parts)",
        "+0.061, interval: 0.012 to 0.110",
        "does not hold</span> (no interval)",
        "The gain is claimed: its interval excludes zero.",
        "which leaves 0.645",
        "not given",
        "12 min 34 s",
        "/r/splits.csv",
    ],
)
def test_the_page_says(page: str, words: str) -> None:
    assert words in " ".join(page.split())


def test_labels_stay_text(page: str) -> None:
    assert "<script" not in page
    assert "&lt;script&gt;document.title" in page


def test_the_page_loads_nothing_and_runs_nothing(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href|action)\s*=\s*(?!["']data:image/svg\+xml;base64,)""", page)
    assert not re.search(r"<(?:script|iframe|object|embed|form|link|base)\b|\son\w+\s*=|url\(", page)


def test_equal_tables_give_equal_bytes(page: str) -> None:
    assert render(tables()) == page


def undrawn() -> dict[str, Any]:
    """The tables without those that become figures, which take longest."""
    return {key: value for key, value in tables().items() if key not in ("curves", "trials")}


def test_the_front_of_score_against_latency(page: str) -> None:
    assert "latency" not in page, "where nothing was measured, nothing is said"
    found = tables()
    for trial, latency, feasible in zip(found["trials"][:2], (30.04, 4.0), (False, True), strict=True):
        trial |= {"latency_ms": latency, "feasible": feasible}
    found["pareto"] = [
        {"trial": 0, "value": 0.61, "latency_ms": 4.0, "feasible": True},
        {"trial": 2, "value": 0.69, "latency_ms": 30.04, "feasible": False},
    ]
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", render(found)))
    assert "Score against latency" in words
    assert "0 0.610 4.0 holds 2 0.690 30.0 too slow" in words


@pytest.mark.parametrize("key", [key for key in tables() if key != "study"])
def test_every_table_may_be_absent_or_null(key: str) -> None:
    absent = {name: value for name, value in undrawn().items() if name != key}
    assert render(absent).rstrip().endswith("</html>")
    assert render({**absent, key: None}).rstrip().endswith("</html>")


@pytest.fixture(scope="module")
def trust_page() -> str:
    return " ".join(render({**tables(), **trusted(EVIL)}).split())


@pytest.mark.parametrize(
    "words",
    [
        "Cross-validated 0.710; having been chosen among 15 trials flatters it by at least 0.030, which leaves 0.680.",
        "The holdout is not independent: 2 candidates have seen this holdout",
        "Groups were inferred: the intervals know nothing of parts that were joined or separated wrongly.",
        "With random folds the frozen probe would seem to reach 0.920",
        "it reaches 0.520 on the same 1104 pictures. The first figure is wrong: they mix parts.",
        "Taken: trial-3, a tie. Given up for it: a macro F1 of 0.0042, the lead of trial-7.",
        "<td>a tie</td>",
        "<td>better</td>",
        "t-test omitted: a fold lacks &lt;script&gt;",
        "0.400 to 0.600 (95 %)",
        "none (no other teaches it)",
        "inferred from pictures, names, order and time, 217 parts, the least certain with confidence 0.61",
        "<dt>labels a model doubts</dt><dd>41</dd>",
        "<dt>contact sheets</dt><dd>/a/index.html</dd>",
        "is darker",
        "(temperature)",
        'expected calibration error</td><td class="number">0.120</td><td class="number">0.030</td>',
        "at least 0.97",
        "Claimed: at most 0.1 of defective parts pass, at confidence 0.95",
        "<td>defective parts that pass</td><td>0.020 (0.001 to 0.100)</td><td>0.050 (0.000 to 0.200)</td>",
        "the promise is about the development parts.",
        "a share of 0.900 of the 40 parts with several pictures",
        "60 of 70 sealed parts get the same class. The same decision is made about a share of 0.800",
        "A picture runs through 5 networks.",
        "2 times, not independent: 2 candidates have seen this holdout",
    ],
)
def test_the_page_says_how_far_to_trust(trust_page: str, words: str) -> None:
    assert words in trust_page


def test_labels_stay_text_in_every_section(trust_page: str) -> None:
    assert "<script" not in trust_page
    assert trust_page.count("<img") == 5
    assert not re.search(r"""(?:src|href|action)\s*=\s*(?!["']data:image/svg\+xml;base64,)""", trust_page)


@pytest.mark.parametrize("key", list(trusted()))
def test_older_documents_lack_what_is_said_about_trust(key: str) -> None:
    whole = {**undrawn(), **trusted()}
    absent = {name: value for name, value in whole.items() if name != key}
    assert render(absent).rstrip().endswith("</html>")
    assert render({**absent, key: None}).rstrip().endswith("</html>")


@pytest.mark.parametrize("key", [key for key, value in trusted().items() if isinstance(value, dict)])
def test_a_section_may_know_little(key: str) -> None:
    little = {"headline": {"value": 0.5, "source": "holdout", "min_groups": 3}}.get(key, {"why": "not measured"})
    assert render({**undrawn(), key: little}).rstrip().endswith("</html>")


def test_a_claim_that_is_refused_says_what_it_needs() -> None:
    evidence = {**trusted()["decision_evidence"], "needed": 2995, "curve": {"training": [], "line": None}}
    refused = {"decision": None, "decision_why": "2995 defective parts are needed", "decision_evidence": evidence}
    text = " ".join(render({**undrawn(), **refused}).split())
    assert "Nothing passes without a person</span>: 2995 defective parts are needed." in text
    assert "Defective parts that could carry the claim: about 2995; there are 60." in text


def test_a_chosen_space_says_why_in_plain_text() -> None:
    page = render({"study": "tiles", "space_why": ["phases: few parts", EVIL]})
    assert "Why this search space" in page and "<li>phases: few parts</li>" in page
    assert EVIL not in page
    assert "Why this search space" not in render({"study": "tiles", "space_why": []})


def test_costs_claim_nothing() -> None:
    decision = {"unit": "group", "costs": [[0, 1, 5], [90, 1, 0]]}
    text = " ".join(render({**undrawn(), "decision": decision}).split())
    assert "the least expected cost counts" in text and "Claimed" not in text


def test_a_gain_without_interval_is_not_claimed() -> None:
    baseline = {"macro_f1_mean": 0.6, "macro_f1_ci": None, "gain": 0.2, "gain_ci": None, "gain_why": "4 parts"}
    text = " ".join(render({**undrawn(), "baseline": baseline}).split())
    assert "none (4 parts)" in text and "The gain is not claimed: 4 parts." in text
    assert "Gain over" not in render(
        {**tables(), "baseline": {"macro_f1_mean": None, "gain": None, "why": "no weights"}}
    )


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_no_text_opens_a_tag(label: str, path: str) -> None:
    page = render({"study": label, "splits": path, "classes": [label], "confusion": [[1]]})
    tags = set(re.findall(r"<([a-zA-Z!/][^\s>]*)", page))
    plain = set(
        re.findall(r"<([a-zA-Z!/][^\s>]*)", render({"study": "x", "splits": "x", "classes": ["x"], "confusion": [[1]]}))
    )
    assert tags == plain


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        ({}, "No model has been registered yet."),
        ({"champion": {"name": "a", "version": 3}}, "The champion is a:3."),
        ({"candidate": {"name": "a", "version": 1}, "champion": {"name": "a", "version": 1}}, "The champion is a:1."),
        (
            {"candidate": {"name": "a", "version": 1, "alias": None}},
            "The candidate a:1 was registered; there is no champion, because a gate does not hold.",
        ),
    ],
)
def test_the_sentence_about_the_champion(run: dict[str, Any], sentence: str) -> None:
    assert champion_sentence(run) == sentence


def test_the_headline_stands_first() -> None:
    rows = score_rows(tables())
    assert [row["name"].split()[0] for row in rows] == ["headline", "cross-validation", "baseline", "holdout"]


def test_a_class_without_pictures_has_no_shade() -> None:
    assert confusion_rows([[0, 0], [1, 3]], ["a", "b"])[0]["cells"][0]["share"] == 0.0


@pytest.mark.slow
def test_a_browser_shows_it_and_runs_no_label(page: str, tmp_path: Path) -> None:
    if PROGRAM is None:
        pytest.skip(MISSING)
    # Without the policy even an unescaped label would do nothing: escaping is tested alone.
    file = tmp_path / "report.html"
    file.write_text(page.replace("default-src 'none'", "default-src * 'unsafe-inline'"), encoding="utf-8")
    dom = shown(file.as_uri(), tmp_path)
    assert "<title>tiles – fdsearch</title>" in dom
    assert dom.count("<img") == 2 and dom.count("<section>") == 7 and "pwned'" in dom
