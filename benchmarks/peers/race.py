"""Both sides search freely: when does each first hold the score that the other ends with?

`versus_plain --free-form` and `versus_keras_tuner` call `race`. A score is held from the end of the first trial whose
pooled macro F1 is at least that; trials that end after the time are not looked at. Each side's trials are kept in a
folder and not run again, so that a long race can be interrupted, and two peers can meet the same searches of ours.

A short race ends our side once it holds the peer's best score: nothing that it finds later changes the ratio.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from peers.sides import BENCHMARKS, Ended, Side, generate, open_tiles, run_ours, run_peer, study

ENOUGH_TRIALS = 500


def race(
    peer: str,
    seconds: float,
    n_races: int,
    n_splits: int,
    data: Path | None,
    folder: Path,
    *,
    short: bool = False,
) -> dict[str, Any]:
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
        Where the trials of each side are kept.
    short : bool
        Whether our side ends once it holds the peer's best score.

    Returns
    -------
    dict
        `ratio` (median over the races, see `compare`) and `rows`.
    """
    space = yaml.safe_load((BENCHMARKS.parent / "search_spaces" / "quick.yaml").read_text())
    if data is None:
        space["image_size"] = {"type": "categorical", "choices": [64]}
        shutil.rmtree(folder / "set", ignore_errors=True)
    section = generate(folder / "set") if data is None else open_tiles(data)
    rows = []
    for number in range(n_races):
        raw = study(section, space, n_splits, number, n_trials=ENOUGH_TRIALS)
        place = folder / f"{number}-{peer}"
        theirs = _kept(place, (seconds, None), partial(run_peer, peer, raw, place, limit=seconds))
        until = max((score for _, score in _scored(theirs, seconds)), default=None) if short else None
        place = folder / f"{number}-ours"
        ours = _kept(place, (seconds, until), partial(run_ours, {**raw, "budget": seconds}, place, until=until))
        rows.append({"split": number, **compare(ours, theirs, seconds)})
        print(rows[-1], file=sys.stderr)
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    return {"ratio": round(median(ratios), 2) if ratios else None, "seconds": seconds, "short": short, "rows": rows}


def _kept(place: Path, asked: tuple[float, float | None], run: Callable[[], Side]) -> tuple[Ended, ...]:
    """A side's trials for so many seconds, or until a score: from the file beside its folder where they will do."""
    file, (seconds, until) = place.with_suffix(".json"), asked
    if file.is_file():
        known = json.loads(file.read_text())
        trials = tuple(Ended(**trial) for trial in known["trials"])
        whole = known["seconds"] == seconds and known["until"] is None
        if whole or (until is not None and any(trial.value is not None and trial.value >= until for trial in trials)):
            return trials
    shutil.rmtree(place, ignore_errors=True)
    trials = run().trials
    file.write_text(json.dumps({"seconds": seconds, "until": until, "trials": [asdict(trial) for trial in trials]}))
    return trials


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
