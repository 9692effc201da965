"""Choosing among compared configurations: ties, speed, the comparison table, and what the choice is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fdsearch.config import DataSpec, SearchSpec, SplitSpec, StudySpec
from fdsearch.data.dataset import Dataset, Development, Holdout
from fdsearch.data.images import PixelStore
from fdsearch.data.partition import Partition, repeat_folds
from fdsearch.metrics import UNPREDICTED, macro_f1
from fdsearch.pipeline.choosing import Chosen, choose_candidate, comparison_rows
from fdsearch.pipeline.luck import answers, luck_of, make_stack
from fdsearch.pipeline.question import Question
from fdsearch.records import TrialRecord
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.cross_validation import CrossValidation
from fdsearch.space_reader import parse_space
from fdsearch.training.job import JobMaker
from fdsearch.training.latency import Architecture, Latency, keep
from fdsearch.trial import TrialConfig
from fdsearch.workspace import Workspace

N = 240
LABELS = np.arange(N) // 2 % 3
GROUPS = np.arange(N) // 2
SEALED = GROUPS >= 100
CLASSES = ("a", "b", "c")
SMALL, LARGE = (TrialConfig.from_params({"image_size": size, "phases": "probe"}) for size in (64, 224))


@dataclass
class Heard:
    """Stands in for a running command: keeps what it was told."""

    said: list[str] = field(default_factory=list)

    @property
    def log(self) -> Any:
        return SimpleNamespace(say=self.said.append)

    @property
    def interruption(self) -> Any:
        return SimpleNamespace(check=lambda: None)


def question(root: Path, **search: Any) -> Question:
    """A study over labels and groups alone: nothing here looks at a picture."""
    spec = StudySpec(
        name="study",
        data=DataSpec(manifest=Path("labels.csv"), label="label"),
        space=parse_space({"image_size": {"type": "categorical", "choices": [64, 224]}, "phases": "probe"}),
        search=SearchSpec(**search),
    )
    names = tuple(f"{row}.png" for row in range(N))
    dataset = Dataset(
        filenames=names,
        paths=tuple(map(Path, names)),
        content=names,
        labels=LABELS,
        groups=GROUPS,
        classes=CLASSES,
        group_names=tuple(map(str, range(N // 2))),
        pass_classes=("a",),
        metadata={},
        store=PixelStore(root / "pixels"),
        digest="d",
        label_digest="l",
        group_digest="g",
    )
    development, holdout = (np.flatnonzero(rows) for rows in (~SEALED, SEALED))
    partition = Partition(Development(dataset, development), Holdout(dataset, holdout), (), SplitSpec())
    maker = JobMaker(LABELS, GROUPS, 3, {}, "d", root / "prefix")
    return Question(spec, Workspace(root), dataset, partition, spec.space, maker, {})


def predictions(*wrong_groups: range) -> np.ndarray:
    """Two repeats: wrong in the pictures of these groups, nothing said of the sealed ones."""
    wrong = np.isin(GROUPS, np.concatenate([np.arange(0), *map(np.array, wrong_groups)]))
    once = np.where(SEALED, UNPREDICTED, np.where(wrong, (LABELS + 1) % 3, LABELS))
    return np.stack([once, once])


def logits_of(predicted: np.ndarray) -> np.ndarray:
    logits = 4 * np.eye(3, dtype=np.float32)[predicted]
    logits[predicted == UNPREDICTED] = np.nan
    return logits


def validated(found: Mapping[str, np.ndarray], configs: Mapping[str, TrialConfig] | None = None) -> CrossValidation:
    candidates = [
        Candidate(name, (configs or {}).get(name, LARGE), logits_of(predicted), ()) for name, predicted in found.items()
    ]
    return CrossValidation(tuple(candidates), 2, {}, ())


def scores_of(validation: CrossValidation) -> dict[str, float]:
    rows = np.flatnonzero(~SEALED)
    return {one.name: macro_f1(LABELS[rows], one.predictions[0, rows], 3) for one in validation.candidates}


CLOSE = {"slow": predictions(range(10)), "fast": predictions(range(8, 19)), "poor": predictions(range(50))}
SIZES = {"slow": LARGE, "fast": SMALL, "poor": SMALL}


def on_file(asked: Question, **milliseconds: float) -> None:
    for name, time in milliseconds.items():
        keep(asked.workspace.latencies, Architecture(SIZES[name], 3), Latency(time, "keras", "here"))


@pytest.mark.parametrize(
    ("times", "search", "winner"),
    [
        ({"slow": 30.0, "fast": 8.0}, {}, "fast"),
        ({"slow": 30.0, "fast": 20.0}, {}, "slow"),
        ({"slow": 30.0, "fast": 20.0}, {"max_latency_ms": 40.0}, "fast"),
    ],
)
def test_a_tie_goes_to_the_faster(tmp_path: Path, times: dict[str, float], search: dict[str, Any], winner: str) -> None:
    asked, validation = question(tmp_path, **search), validated(CLOSE, SIZES)
    on_file(asked, **times)
    scores = scores_of(validation)
    chosen = choose_candidate(asked, validation, scores, {}, Heard())  # type: ignore[arg-type]
    assert (chosen.winner, chosen.best, chosen.tied) == (winner, "slow", ("fast",))
    assert chosen.given_up == pytest.approx(scores["slow"] - scores[winner])
    assert chosen.latencies == times
    assert chosen.to_json().keys() == {"winner", "best", "tied", "given_up", "why"}


def test_what_the_search_measured_counts(tmp_path: Path) -> None:
    validation, heard = validated(CLOSE, SIZES), Heard()
    times = {"slow": 30.0, "fast": 8.0}
    chosen = choose_candidate(question(tmp_path), validation, scores_of(validation), times, heard)  # type: ignore[arg-type]
    assert (chosen.winner, heard.said) == ("fast", [])


@pytest.mark.parametrize("names", [("slow", "poor"), ("slow",)])
def test_nothing_is_measured_without_a_tie(tmp_path: Path, names: tuple[str, ...]) -> None:
    asked, heard = question(tmp_path), Heard()
    validation = validated({name: CLOSE[name] for name in names}, SIZES)
    chosen = choose_candidate(asked, validation, scores_of(validation), {}, heard)  # type: ignore[arg-type]
    assert (chosen.winner, chosen.tied, chosen.given_up) == ("slow", (), 0.0)
    assert heard.said == []
    assert not asked.workspace.latencies.exists()


def test_nothing_is_measured_between_equal_architectures(tmp_path: Path) -> None:
    asked, heard = question(tmp_path), Heard()
    validation = validated(CLOSE)
    chosen = choose_candidate(asked, validation, scores_of(validation), {}, heard)  # type: ignore[arg-type]
    assert (chosen.winner, chosen.tied, heard.said) == ("slow", ("fast",), [])
    assert "not known to be" in chosen.why


@pytest.mark.slow
def test_what_cannot_be_measured_is_no_faster(tmp_path: Path) -> None:
    asked, heard = question(tmp_path), Heard()
    validation = validated(CLOSE, {**SIZES, "fast": replace(SMALL, backbone="no_such_network")})
    chosen = choose_candidate(asked, validation, scores_of(validation), {}, heard)  # type: ignore[arg-type]
    assert chosen.winner == "slow"
    assert any("remains unknown" in line for line in heard.said)


def test_the_candidate_is_compared_with_all_others(tmp_path: Path) -> None:
    asked, validation = question(tmp_path), validated(CLOSE, SIZES)
    on_file(asked, slow=30.0, fast=8.0)
    chosen = choose_candidate(asked, validation, scores_of(validation), {}, Heard())  # type: ignore[arg-type]
    repeats = [repeat_folds(asked.partition, number) for number in (1, 2)]
    rows = {row["name"]: row for row in comparison_rows(asked, validation, chosen, {"slow": 4, "poor": 7}, repeats)}
    assert set(rows) == {"slow", "poor"}
    assert rows["slow"].keys() >= {"trial", "gain", "ci", "level", "se", "claimed", "tied", "t", "latency_ms"}
    assert (rows["slow"]["trial"], rows["slow"]["tied"], rows["slow"]["latency_ms"]) == (4, True, 30.0)
    assert (rows["poor"]["tied"], rows["poor"]["claimed"], rows["poor"]["latency_ms"]) == (False, True, None)
    assert rows["slow"]["gain"] == pytest.approx(-chosen.given_up)
    assert rows["poor"]["t"]["df"] == 9
    assert rows["poor"]["t"]["t"] > 2


def record(number: int, state: str, predicted: np.ndarray | None, size: int, **more: Any) -> TrialRecord:
    logits = None if predicted is None else logits_of(predicted)
    value = 0.5 if state == "COMPLETE" else None
    return TrialRecord(number, state, value, {"image_size": size}, logits, (), 1.0, **more)


WHOLE = predictions(range(20))[0]
PARTIAL = np.where(GROUPS < 40, WHOLE, UNPREDICTED)


def test_the_stack_holds_every_answer_once() -> None:
    nothing = np.full(N, UNPREDICTED)
    records = [
        record(0, "COMPLETE", WHOLE, 64),
        record(1, "COMPLETE", CLOSE["slow"][0], 80),
        record(2, "COMPLETE", WHOLE, 64),  # the same parameters again
        record(3, "COMPLETE", WHOLE, 96, feasible=False),
        record(4, "PRUNED", PARTIAL, 112),
        record(5, "PRUNED", nothing, 128),  # stopped in its first fold
        record(6, "FAIL", PARTIAL, 144),
        record(7, "COMPLETE", None, 160),  # its predictions are in another run folder
        record(8, "COMPLETE", CLOSE["poor"][0], 80 + 96, latency_ms=12.0),
    ]
    validation = validated({"baseline": CLOSE["fast"], "trial-1": CLOSE["slow"], "trial-8": CLOSE["poor"]})
    trials = {"trial-1": 1, "trial-8": 8}
    chosen = Chosen("trial-1", "trial-1", (), 0.0, "", ("baseline", "trial-1", "trial-8"), {"trial-1": 30.0})
    rows = np.flatnonzero(~SEALED)
    kept = answers(records, {1, 8})
    assert [one.number for one in kept] == [0, 1, 4, 8]
    stack = make_stack(kept, validation, chosen, trials, rows, "baseline")
    assert stack.search.shape == (5, len(rows))
    assert stack.complete.tolist() == [True, True, False, True, True]
    assert (stack.winner, stack.always, sorted(stack.contest)) == (1, 4, [1, 3, 4])
    assert (stack.search[4] == UNPREDICTED).all()
    assert (stack.search[2] == PARTIAL[rows]).all()
    assert stack.latency_ms is not None
    assert stack.latency_ms[[1, 3]].tolist() == [30.0, 12.0]
    assert np.isnan(stack.latency_ms[[0, 2, 4]]).all()


def test_what_the_choice_is_worth(tmp_path: Path) -> None:
    asked = question(tmp_path)
    records = [
        record(0, "COMPLETE", CLOSE["fast"][0], 64),
        record(1, "COMPLETE", CLOSE["slow"][0], 80),
        record(2, "PRUNED", PARTIAL, 96),
        record(3, "PRUNED", None, 112),
    ]
    validation = validated({"baseline": CLOSE["fast"], "trial-1": CLOSE["slow"]})
    trials = {"baseline": 0, "trial-1": 1}
    chosen = choose_candidate(asked, validation, scores_of(validation), {}, Heard())  # type: ignore[arg-type]
    luck = luck_of(asked, validation, chosen, trials, records, "baseline")
    assert luck["raw"] == pytest.approx(scores_of(validation)[chosen.winner])
    assert (luck["n_trials"], luck["n_stopped"], luck["n_unseen"]) == (3, 1, 1)
    assert luck["ci"][0] < luck["corrected"] < luck["ci"][1]
    assert 0 < luck["optimism"] < 0.05, "two close trials and one that was stopped"
    assert luck["best_value"] == pytest.approx(luck["raw"])


def test_a_baseline_outside_the_space_has_no_part_in_the_choice(tmp_path: Path) -> None:
    asked = question(tmp_path)
    validation = validated({"baseline": CLOSE["fast"], "trial-1": CLOSE["slow"]})
    scores = {"trial-1": scores_of(validation)["trial-1"]}
    chosen = choose_candidate(asked, validation, scores, {}, Heard())  # type: ignore[arg-type]
    records = [record(1, "COMPLETE", CLOSE["slow"][0], 80)]
    luck = luck_of(asked, validation, chosen, {"trial-1": 1}, records, "baseline")
    assert (luck["n_trials"], luck["optimism"]) == (1, 0.0)
