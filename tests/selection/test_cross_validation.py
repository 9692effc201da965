"""Cross-validation with the real job maker, splitter and in-process executor; only the network is a small stand-in."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsearch.config import DecisionSpec
from fdsearch.data.folds import Fold, grouped_stratified_folds, single_split
from fdsearch.errors import ResourceError
from fdsearch.execution.in_process import InProcess
from fdsearch.metrics import UNPREDICTED, macro_f1
from fdsearch.selection.calibration import fit_temperature, prior_shift
from fdsearch.selection.cross_validation import CrossValidation, cross_validate
from fdsearch.selection.decision import pass_rule
from fdsearch.training.job import Job, JobMaker, Refit, Report, Result, fit_seed
from fdsearch.trial import TrialConfig

N = 60
LABELS = np.arange(N) // 2 % 3
GROUPS = np.arange(N) // 2
PROBE = TrialConfig.from_params({"image_size": 16})
PLATEAU = TrialConfig.from_params({"image_size": 16, "phases": "head", "schedule": "plateau"})
STOPPING = TrialConfig.from_params({"image_size": 16, "phases": "head", "early_stopping": "macro_f1"})

SEEN: list[Job] = []


def nearest_mean(job: Job, report: Report) -> Result:
    """Stand in for the trainer: the class with the nearest mean brightness; the fold's seed sets its epochs."""
    SEEN.append(job)
    pixels = np.load(job.pixels, mmap_mode="r").reshape(len(job.labels), -1).mean(axis=1)
    means = np.array([pixels[job.train][job.labels[job.train] == label].mean() for label in range(job.n_classes)])
    logits = -np.abs(pixels[job.validation][:, None] - means).astype(np.float32)
    epochs = job.seed % 7
    rates = tuple(0.1 / (epoch + 1) for epoch in range(epochs))
    shares = np.bincount(job.labels[job.train], minlength=job.n_classes) / len(job.train)
    return Result(
        job.id,
        "done",
        logits,
        epochs=epochs,
        phase_epochs=(0, epochs),
        learning_rates=rates,
        effective_shares=tuple(shares.tolist()),
        seconds=0.25,
    )


@pytest.fixture
def maker(tmp_path: Path) -> JobMaker:
    SEEN.clear()
    generator = np.random.default_rng(0)
    pixels = (LABELS * 80 + generator.integers(0, 60, N)).astype(np.uint8)
    np.save(tmp_path / "pixels.npy", np.broadcast_to(pixels[:, None, None, None], (N, 16, 16, 1)))
    return JobMaker(LABELS, GROUPS, 3, {(16, "stretch"): tmp_path / "pixels.npy"}, "digest", tmp_path / "prefix")


@pytest.fixture
def repeats() -> list[list[Fold]]:
    return [grouped_stratified_folds(LABELS, GROUPS, 3, random_state) for random_state in range(3)]


class Flaky:
    """The in-process executor, with failures at chosen jobs: job id -> how it fails."""

    def __init__(self, failures: Mapping[str, str] | None = None, only: int | None = None) -> None:
        self.failures = failures or {}
        self.only = only
        self.calls: list[tuple[list[str], float | None, int]] = []
        self._executor = InProcess(target=f"{__name__}:nearest_mean")

    def __call__(
        self, jobs: Sequence[Job], *, on_result: Any, deadline: float | None, attempts: int
    ) -> dict[str, Result]:
        self.calls.append(([job.id for job in jobs], deadline, attempts))
        results: dict[str, Result] = {}
        for job in jobs[: self.only] if len(self.calls) > 1 else jobs:
            if job.id in self.failures:
                failure = self.failures[job.id]
                results[job.id] = Result(job.id, "failed", failure=failure, message=f"Traceback\nit was {failure}")
            else:
                results |= self._executor.run_all([job])
            on_result(results[job.id])
        return results


class Counting:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.tracked: list[tuple[str, int, int]] = []

    def say(self, text: str) -> None:
        pass

    def track(self, task: str, done: int, total: int) -> None:
        self.tracked.append((task, done, total))


def test_every_row_is_predicted_once_in_each_repeat(maker: JobMaker, repeats: list[list[Fold]]) -> None:
    result = cross_validate([("a", PROBE), ("b", PLATEAU)], repeats, maker, Flaky(), random_state=5)
    assert (result.n_repeats, result.failures, result.notes) == (3, {}, ())
    assert [candidate.name for candidate in result.candidates] == ["a", "b"]
    assert result["a"].logits.shape == (3, N, 3)
    assert result["a"].logits.dtype == np.float32
    assert np.isfinite(result["a"].logits).all()
    assert all(macro_f1(LABELS, predicted, 3) > 0.9 for predicted in result["a"].predictions)
    assert result["a"].seconds == pytest.approx(9 * 0.25)
    assert result["a"].effective_shares == pytest.approx([1 / 3] * 3, abs=0.02)


def test_candidates_differ_in_nothing_but_their_configuration(maker: JobMaker, repeats: list[list[Fold]]) -> None:
    cross_validate([("a", PROBE), ("b", PLATEAU)], repeats, maker, Flaky(), random_state=5)
    jobs = {job.id: job for job in SEEN}
    assert len(jobs) == len(SEEN) == 18
    for repeat in range(3):
        for fold in range(3):
            a, b = jobs[f"a-r{repeat}-f{fold}"], jobs[f"b-r{repeat}-f{fold}"]
            assert a.seed == b.seed == fit_seed(5, repeat, fold)
            assert np.array_equal(a.train, b.train)
            assert np.array_equal(a.validation, repeats[repeat][fold].validation)
    assert set(Counter(job.seed for job in SEEN).values()) == {2}


def test_rows_outside_the_folds_stay_empty(maker: JobMaker) -> None:
    development = np.flatnonzero(GROUPS < 24)
    folds = [
        Fold(development[fold.train], development[fold.validation])
        for fold in grouped_stratified_folds(LABELS[development], GROUPS[development], 2, 0)
    ]
    candidate = cross_validate([("a", PROBE)], [folds], maker, Flaky())["a"]
    assert np.array_equal(np.flatnonzero(candidate.predictions[0] != UNPREDICTED), development)


def test_early_stopping_watches_inner_parts(maker: JobMaker, repeats: list[list[Fold]]) -> None:
    cross_validate([("a", STOPPING)], repeats[:1], maker, Flaky())
    for job in SEEN:
        assert len(job.monitor)
        parts = [set(GROUPS[rows]) for rows in (job.train, job.monitor, job.validation)]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_early_stopping_watches_the_validation_part_of_a_single_split(maker: JobMaker) -> None:
    folds = [[single_split(LABELS, GROUPS, 0.2, state)] for state in range(2)]
    result = cross_validate([("a", STOPPING)], folds, maker, Flaky(), single_split=True)
    assert all(np.array_equal(job.monitor, job.validation) for job in SEEN)
    assert not np.array_equal(*(predicted == UNPREDICTED for predicted in result["a"].predictions))


def test_refit_stops_where_the_middle_fold_stopped(maker: JobMaker, repeats: list[list[Fold]]) -> None:
    result = cross_validate([("a", PROBE), ("b", PLATEAU)], repeats, maker, Flaky(), random_state=5)
    epochs = sorted(epoch for repeat in result["a"].epochs for epoch in repeat)
    assert len(set(epochs)) > 2
    assert result["a"].refit().epochs == epochs[4]
    assert result["a"].refit().phase_epochs == (0, epochs[4])
    assert result["a"].refit().learning_rates is None
    assert len(result["b"].refit().learning_rates or ()) == epochs[4]


class TestModels:
    def test_none_is_saved_unless_there_is_a_folder(self, maker: JobMaker, repeats: list[list[Fold]]) -> None:
        candidate = cross_validate([("a", PROBE)], repeats[:2], maker, Flaky())["a"]
        assert [job.save_to for job in SEEN] == [None] * 6
        assert [job.id for job in candidate.fold_jobs] == ["a-r0-f0", "a-r0-f1", "a-r0-f2"]

    def test_those_of_the_first_repeat_are(self, maker: JobMaker, repeats: list[list[Fold]], tmp_path: Path) -> None:
        result = cross_validate([("a", PROBE), ("b", PROBE)], repeats[:2], maker, Flaky(), models=tmp_path)
        for job in SEEN:
            assert (job.save_to is not None) == ("-r0-" in job.id)
        files = [job.save_to for name in "ab" for job in result[name].fold_jobs]
        assert len(set(files)) == 6, "equal configurations must not write into one file"
        assert all(file is not None and file.parent == tmp_path for file in files)

    def test_other_data_gives_other_files(self, maker: JobMaker, repeats: list[list[Fold]], tmp_path: Path) -> None:
        files = [
            [
                job.save_to
                for job in cross_validate([("a", PROBE)], folds, made, Flaky(), models=tmp_path)["a"].fold_jobs
            ]
            for folds, made in (
                (repeats[:1], maker),
                (repeats[:1], replace(maker, data_digest="other")),
                (repeats[1:2], maker),
                (repeats[:1], maker),
            )
        ]
        assert len({*files[0], *files[1], *files[2]}) == 9
        assert files[3] == files[0]


class TestTime:
    def test_the_first_repeat_is_always_run(self, maker: JobMaker, repeats: list[list[Fold]]) -> None:
        executor = Flaky()
        result = cross_validate([("a", PROBE)], repeats, maker, executor, deadline=time.monotonic() - 1)
        assert result.n_repeats == 1
        assert [deadline for _, deadline, _ in executor.calls] == [None]
        assert "repeat 2 was not run" in result.notes[0]

    def test_further_repeats_know_the_deadline(self, maker: JobMaker, repeats: list[list[Fold]]) -> None:
        executor, deadline = Flaky(), time.monotonic() + 3600
        assert cross_validate([("a", PROBE)], repeats, maker, executor, deadline=deadline).n_repeats == 3
        assert [given for _, given, _ in executor.calls] == [None, deadline, deadline]

    def test_half_a_repeat_does_not_count(self, maker: JobMaker, repeats: list[list[Fold]]) -> None:
        executor = Flaky(only=4)
        result = cross_validate(
            [("a", PROBE), ("b", PLATEAU)], repeats, maker, executor, deadline=time.monotonic() + 60
        )
        assert (result.n_repeats, len(executor.calls)) == (1, 2)
        assert all(candidate.logits.shape[0] == 1 for candidate in result.candidates)
        assert result.notes == ("repeat 2 does not count: it was not finished",)

    def test_a_stop_in_the_first_repeat_leaves_no_comparison(self, maker: JobMaker, repeats: list[list[Fold]]) -> None:
        def stopped(jobs: Sequence[Job], *, attempts: int, **rest: Any) -> dict[str, Result]:
            done = InProcess(target=f"{__name__}:nearest_mean").run_all(jobs[:1])
            return {job_id: replace(result, status="stopped") for job_id, result in done.items()}

        with pytest.raises(ResourceError, match="before its first repeat was finished"):
            cross_validate([("a", PROBE)], repeats, maker, stopped)


class TestFailures:
    def test_lost_jobs_are_tried_three_times(self, maker: JobMaker, repeats: list[list[Fold]]) -> None:
        executor = Flaky()
        cross_validate([("a", PROBE)], repeats[:2], maker, executor)
        assert [attempts for _, _, attempts in executor.calls] == [3, 3]

    def test_a_job_that_stays_lost_takes_its_candidate_out(self, maker: JobMaker, repeats: list[list[Fold]]) -> None:
        executor = Flaky({"a-r0-f1": "signal"})
        result = cross_validate([("a", PROBE), ("b", PLATEAU)], repeats, maker, executor)
        assert result.failures == {"a": "a-r0-f1 failed (signal): it was signal"}
        assert [candidate.name for candidate in result.candidates] == ["b"]
        assert not any("a-r1" in job_id for ids, _, _ in executor.calls for job_id in ids)

    @pytest.mark.parametrize("failure", ["exception", "non_finite", "device_memory"])
    def test_a_failure_of_its_own_takes_its_candidate_out(
        self, maker: JobMaker, repeats: list[list[Fold]], failure: str
    ) -> None:
        executor = Flaky({"b-r1-f0": failure})
        result = cross_validate([("a", PROBE), ("b", PLATEAU)], repeats, maker, executor)
        assert (result.n_repeats, list(result.failures)) == (3, ["b"])
        assert len(executor.calls) == 3
        assert result["a"].logits.shape[0] == 3
        assert "fell out in repeat 2" in result.notes[0]

    def test_none_left_names_every_candidate(self, maker: JobMaker, repeats: list[list[Fold]]) -> None:
        executor = Flaky({"a-r0-f0": "exception", "b-r0-f2": "non_finite"})
        with pytest.raises(ResourceError) as caught:
            cross_validate([("a", PROBE), ("b", PLATEAU)], repeats, maker, executor)
        assert [fault.where for fault in caught.value.faults] == ["candidate a", "candidate b"]
        assert caught.value.exit_code == 7


def test_progress_counts_jobs_of_each_repeat(maker: JobMaker, repeats: list[list[Fold]]) -> None:
    progress = Counting()
    cross_validate([("a", PROBE)], repeats[:2], maker, Flaky(), progress=progress)
    assert progress.tracked[2] == ("repeat 1", 3, 3)
    assert progress.tracked[-1] == ("repeat 2", 3, 3)
    assert all(done <= total for _, done, total in progress.tracked)


def test_equal_names_are_refused(maker: JobMaker, repeats: list[list[Fold]]) -> None:
    with pytest.raises(ValueError, match="distinct names"):
        cross_validate([("a", PROBE), ("a", PLATEAU)], repeats, maker, Flaky())


def test_an_executors_method_is_a_run_all(maker: JobMaker, repeats: list[list[Fold]]) -> None:
    run_all = InProcess(target=f"{__name__}:nearest_mean").run_all
    result: CrossValidation = cross_validate([("a", PROBE)], repeats[:1], maker, run_all)
    assert result.n_repeats == 1


@pytest.mark.slow
def test_with_the_real_trainer(maker: JobMaker, repeats: list[list[Fold]]) -> None:
    """The trainer's results carry all that calibration, decision and refit read."""
    params = {"backbone": "piston_cnn", "weights": "random", "image_size": 16, "phases": "full", "epochs": 2}
    run_all = InProcess().run_all
    result = cross_validate([("a", TrialConfig.from_params(params))], repeats[:1], maker, run_all, random_state=5)
    candidate = result["a"]
    assert np.isfinite(candidate.logits).all()
    assert candidate.refit() == Refit(epochs=2, phase_epochs=(2,))
    calibration = fit_temperature(candidate.logits, LABELS, prior_shift(LABELS, candidate.effective_shares))
    probabilities = calibration.apply(candidate.logits)
    assert probabilities.sum(axis=-1) == pytest.approx(1)
    assert pass_rule(probabilities, LABELS, GROUPS, [True, False, False], DecisionSpec(max_escape_rate=0.1))["why"]
