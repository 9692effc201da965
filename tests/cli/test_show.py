"""What a person reads: complete, literal, never cut in a pipe."""

from __future__ import annotations

from typing import Any

import pytest

from fdsearch.cli import show

RUN: dict[str, Any] = {
    "study": "tiles",
    "n_trials": 15,
    "n_complete": 8,
    "n_pruned": 4,
    "n_failed": 3,
    "best_value": 0.69,
    "candidate": {
        "name": "tiles",
        "version": 2,
        "alias": "challenger",
        "gates": [
            {"name": "min_macro_f1", "figure": 0.58, "threshold": 0.4, "holds": True, "why": None},
            {"name": "min_macro_f1", "figure": None, "threshold": 0.4, "holds": False, "why": "a class has 4 parts"},
        ],
    },
    "champion": {"name": "tiles", "version": 1},
    "cv": {"macro_f1_mean": 0.671, "macro_f1_ci": [0.58, 0.74], "level": "95 %", "n": 240, "n_groups": 128},
    "baseline": {"macro_f1_mean": 0.61, "macro_f1_ci": [0.53, 0.68], "gain": 0.061, "gain_ci": [0.012, 0.11]},
    "holdout": {"n": 60, "n_groups": 31, "macro_f1": 0.65, "macro_f1_ci": None, "why": "a class has 4 parts"},
    "headline": {"value": 0.645, "ci": [0.55, 0.71], "source": "out_of_fold", "min_groups": 4},
    "decision": {"pass_threshold": 0.9},
    "notes": ["a picture was turned"],
    "splits": "/r/splits.csv",
    "report": "/r/report.html",
    "seconds": 754.2,
}


@pytest.mark.parametrize(
    "words",
    [
        "15 trials (8 complete, 4 pruned, 3 failed)",
        "tiles:2, challenger",
        "macro F1 0.645, interval: 0.550 to 0.710; out of fold, optimism removed; 4 parts in the smallest class",
        "0.580 to 0.740 (95 %)",
        "pass_threshold 0.9",
        "a picture was turned",
        "none (a class has 4 parts)",
        "+0.061",
        "not given, does not hold (a class has 4 parts)",
        "/r/report.html",
        "12 min 34 s",
    ],
)
def test_a_run_is_told_completely(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    show.run(RUN)
    assert words in capsys.readouterr().out


def test_a_run_without_champion_holdout_or_figures(capsys: pytest.CaptureFixture[str]) -> None:
    show.run({"study": "tiles", "candidate": None, "champion": None, "headline": None, "holdout": None})
    assert "champion    none" in capsys.readouterr().out


def test_a_detached_run_is_shown_key_by_key(capsys: pytest.CaptureFixture[str]) -> None:
    show.run({"study": "tiles", "pid": 3, "output": "/x"})
    assert capsys.readouterr().out.splitlines() == ["study   tiles", "pid     3", "output  /x"]


def test_a_plan_says_what_would_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    show.run(
        {
            **{"study": "tiles", "n": 9, "classes": {"good": 6, "bad": 3}, "groups_per_class": {"good": 4, "bad": 3}},
            **{
                "development": {"n": 7, "n_groups": 5},
                "holdout": {"n": 2, "n_groups": 2},
                "n_splits": 3,
                "n_trials": 4,
            },
            **{"baseline": {"phases": "probe"}, "probes": [{}, {}], "enqueued": ["seed"], "notes": ["few parts"]},
            "budget_s": {"search": 600, "refit_and_holdout": 60},
            "space": {
                "phases": {"type": "categorical", "choices": ["probe", "head"]},
                "epochs": {"type": "int", "low": 4, "high": 8, "when": {"phases": ["head"]}},
                "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
                "image_size": {"fixed": 160},
            },
        }
    )
    out = capsys.readouterr().out
    for words in (
        *("7 pictures of 5 parts", "probe | head", "4 to 8, when phases is head", "1e-05 to 0.01, logarithmic", "160"),
        *("4, first 2 probes, first seed", "refit and holdout 1 min 00 s", "few parts"),
    ):
        assert words in out


def test_a_search_shows_its_front(capsys: pytest.CaptureFixture[str]) -> None:
    point = {"trial": 7, "value": 0.51, "latency_ms": 12.34, "feasible": False}
    show.search({"study": "tiles", "best_value": None, "pareto": [point, {**point, "trial": 9, "feasible": True}]})
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("front")]
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        "trial 7: macro F1 0.510, 12.3 ms, too slow",
        "trial 9: macro F1 0.510, 12.3 ms",
    ]


def test_tables_in_a_pipe_are_literal_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 150
    show.table(("name", "value"), [("[red]crack[/red]", 0.123456), (long, None), ("a\x1b[2Jb", True)])
    out = capsys.readouterr().out
    assert "[red]crack[/red]" in out and long in out and "\x1b" not in out
    assert "0.1235" in out and "yes" in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize(
    ("function", "document", "words"),
    [
        (show.registry, {"models": []}, "no model"),
        (show.registry, {"models": [{"name": "m", "versions": [1, 2], "champion": 2, "challenger": None}]}, "m"),
        (
            show.models,
            {"models": [{"name": "n", "parameters": 89719878, "input_size": 299, "weights": []}]},
            "89,719,878",
        ),
        (
            show.logs,
            {"studies": [{"study": "a", "log": "/x", "lines": ["one\x1b"]}, {"study": "b", "lines": []}]},
            "one?",
        ),
        (show.configs, {"study": "a", "configs": [{"params": {"epochs": 3}, "config": {"epochs": 3}}]}, "epochs"),
        (show.init, {"study_file": "/s.yaml", "n": 3, "classes": {"a": 3}, "group": None}, "data audit /s.yaml"),
        (show.train, {"value": 0.5, "per_class": {"a": {"precision": None, "recall": 1.0}}, "seconds": 1}, "not given"),
        (show.search, {"study": "a", "best_value": 0.5, "best_params": {"epochs": 3}, "seconds": 9}, "epochs = 3"),
        (show.checks, {"checks": [{"name": "disk", "status": "ok", "found": "5 GB", "fix": ""}]}, "disk"),
        (show.facts, {"path": "/x", "n": 3}, "path  /x"),
    ],
)
def test_every_document_has_a_view(
    function: Any, document: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    function(document)
    assert words in capsys.readouterr().out
