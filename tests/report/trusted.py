"""A run's document with everything that is said about trust, as the pipeline writes it."""

from __future__ import annotations

from typing import Any

RATE = {"rate": 0.02, "low": 0.001, "high": 0.1}
RATES = {"escape": RATE, "false_reject": {"rate": 0.11, "low": 0.05, "high": 0.2}, "review": {"rate": 0.3}}
CURVE = [
    {"threshold": 0.999999, "escape": 0.0, "escape_high": 0.05, "false_reject": 0.1, "review": 0.6},
    {"threshold": 0.97, "escape": 0.02, "escape_high": 0.1, "false_reject": 0.1, "review": 0.3},
    {"threshold": 0.5, "escape": None, "escape_high": None, "false_reject": 0.1, "review": 0.0},
]
BINS = [
    {"low": 0.5, "high": 0.6, "n": 12, "confidence": 0.55, "accuracy": 0.4},
    {"low": 0.9, "high": 1.0, "n": 200, "confidence": 0.97, "accuracy": 0.93},
]


def trusted(evil: str = "Fray <b>") -> dict[str, Any]:
    """The document; `evil` stands wherever a text of the user may."""
    return {
        "groups": {"source": "inferred", "n": 217, "min_confidence": 0.61, "proposals": 0},
        "audit": {
            **{"problems": 0, "duplicate_groups": 12, "conflicts": 2, "leaks": 3, "label_suspects": 41},
            **{"shortcuts": 1, "missing_parts": 2, "html": "/a/index.html", "worklist": "/a/worklist.csv"},
            "shortcut_checks": [
                {
                    **{"feature": "brightness", "score": 0.4, "chance": 0.2, "ci": [0.3, 0.5]},
                    **{"alarm": True, "visible": True, "reason": f"{evil} is darker"},
                },
                {"feature": evil, "score": 0.2, "chance": 0.19, "ci": [0.1, 0.3], "alarm": False, "visible": False},
            ],
        },
        "search": {
            **{"raw": 0.71, "optimism": 0.03, "corrected": 0.68, "ci": [0.6, 0.75], "n_trials": 15, "n_stopped": 4},
            **{"at_least": True, "words": "having been chosen among 15 trials flatters it by at least 0.030"},
        },
        "choice": {"winner": "trial-3", "best": "trial-7", "tied": ["trial-3"], "given_up": 0.0042, "why": "a tie"},
        "comparisons": [
            {
                **{"name": "trial-7", "trial": 7, "gain": -0.0042, "ci": [-0.03, 0.02], "level": "95 %", "se": 0.01},
                **{"claimed": False, "tied": True, "why": "the paired interval holds zero", "latency_ms": 30.2},
                "t": {"t": -0.3, "df": 9, "p": 0.77, "why": ""},
            },
            {
                **{"name": "baseline", "trial": None, "gain": 0.06, "ci": [0.01, 0.11], "level": "95 %", "se": 0.02},
                **{"claimed": True, "tied": False, "why": "", "latency_ms": None},
                "t": {"t": None, "df": None, "p": None, "why": f"a fold lacks {evil}"},
            },
        ],
        "random_folds": {"macro_f1": 0.92, "grouped": 0.52, "n": 1104, "words": "they mix parts", "why": ""},
        "left_out": [
            {
                **{"column": "lib", "value": evil, "n": 80, "n_groups": 40, "macro_f1": 0.5},
                **{"macro_f1_ci": [0.4, 0.6], "level": "95 %", "same_rows_cv": 0.7, "why": ""},
            },
            {"column": "lib", "value": "Die04", "n": 3, "n_groups": 1, "macro_f1": None, "why": "no other teaches it"},
        ],
        "calibration": {
            **{"method": "temperature", "n": 900, "ece": {"before": 0.12, "after": 0.03}, "why": ""},
            **{"log_loss": {"before": 0.9, "after": 0.6}, "bins": {"before": BINS, "after": BINS[1:]}},
        },
        "decision": {
            **{"pass_threshold": 0.97, "reject_below": 0.5, "unit": "group", "max_escape_rate": 0.1},
            **{"confidence": 0.95, "n_defective": 60, "n_escaped": 1, "n_good": 120, "n_good_passed": 70},
        },
        "decision_why": None,
        "decision_evidence": {
            **{"confidence": 0.95, "n_good": 120, "n_defective": 60, "needed": None, "costs": None},
            "per_class": {evil: {"parts": 60, "escaped": 1, "bound": 0.077}},
            "rates": {"training": RATES, "line": {**RATES, "escape": {"rate": 0.05, "low": 0.0, "high": 0.2}}},
            "curve": {"training": CURVE, "line": None},
            "notes": ["the promise is about the development parts"],
        },
        "repeatability": {
            **{"share": 0.9, "n_parts": 40, "why": ""},
            "worst": [{"part": evil, "pictures": [{"filename": "a.png", "decision": "pass"}]}],
        },
        "agreement": {
            **{"parts": 70, "same": 60, "share": 60 / 70, "decisions_same": 0.8, "shipped": "ensemble"},
            **{"why": "60 of 70 sealed parts get the same class", "networks": 5},
        },
        "holdout": {
            **{"n": 60, "n_groups": 31, "macro_f1": 0.65, "macro_f1_ci": [0.5, 0.8], "openings": 2},
            **{"independent": False, "words": "not independent: 2 candidates have seen this holdout"},
        },
        "headline": {
            **{"value": 0.68, "ci": [0.6, 0.75], "source": "out_of_fold", "min_groups": 7, "level": "95 %"},
            "words": "having been chosen among 15 trials flatters it by at least 0.030",
        },
    }
