"""Both sides search freely for the same time: when does each first hold the score that the other ends with?

`versus_plain --free-form` and `versus_keras_tuner` call `race`. A score is held from the end of the first trial whose
pooled macro F1 is at least that; trials that end after the time are not looked at.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from peers.sides import BENCHMARKS, Ended, generate, open_tiles, run_ours, run_peer, study

ENOUGH_TRIALS = 500


def race(peer: str, seconds: float, n_races: int, n_splits: int, data: Path | None, folder: Path) -> dict[str, Any]:
    """Race against a peer on several splits.

    Parameters
    ----------
    peer : str
        Module of `peers`.
    seconds : float
        Wall clock of each side in each race.
    n_races : int
        Each deals the parts anew.
    n_splits : int
        Folds of each race, over which a trial's score is pooled.
    data : Path or None
        Folder of all data; None generates pictures.
    folder : Path
        Scratch.

    Returns
    -------
    dict
        `ratio` (median over the races, see `compare`) and `rows`.
    """
    space = yaml.safe_load((BENCHMARKS.parent / "search_spaces" / "quick.yaml").read_text())
    if data is None:
        space["image_size"] = {"type": "categorical", "choices": [64]}
    section = generate(folder / "set") if data is None else open_tiles(data)
    rows = []
    for number in range(n_races):
        raw = study(section, space, n_splits, number, n_trials=ENOUGH_TRIALS)
        theirs = run_peer(peer, raw, folder / f"{number}-peer", limit=seconds)
        ours = run_ours({**raw, "budget": seconds}, folder / f"{number}-ours")
        rows.append({"split": number, **compare(ours.trials, theirs.trials, seconds)})
        print(rows[-1], file=sys.stderr)
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    return {"ratio": round(median(ratios), 2) if ratios else None, "seconds_of_each_side": seconds, "rows": rows}


def compare(ours: tuple[Ended, ...], theirs: tuple[Ended, ...], seconds: float) -> dict[str, Any]:
    """One race.

    Returns
    -------
    dict
        Finished trials and best score of each side; when each first holds the other's best (null: never); `ratio` is
        the peer's seconds over ours until the better score that both reach, null where one has no score.
    """
    mine, other = _scored(ours, seconds), _scored(theirs, seconds)
    result: dict[str, Any] = {"n_trials_ours": len(mine), "n_trials_peer": len(other)}
    best_of = [max((score for _, score in side), default=None) for side in (mine, other)]
    result |= {"best_ours": best_of[0], "best_peer": best_of[1]}
    result["ours_holds_peers_best_s"] = _first(mine, best_of[1])
    result["peer_holds_our_best_s"] = _first(other, best_of[0])
    if None in best_of:
        return {**result, "ratio": None}
    common = min(best_of)
    return {**result, "ratio": round(_first(other, common) / _first(mine, common), 2)}  # type: ignore[operator]


def _scored(trials: tuple[Ended, ...], seconds: float) -> list[tuple[float, float]]:
    return sorted((trial.at, trial.value) for trial in trials if trial.value is not None and trial.at <= seconds)


def _first(scored: list[tuple[float, float]], level: float | None) -> float | None:
    return next((round(at, 1) for at, score in scored if level is not None and score >= level), None)
