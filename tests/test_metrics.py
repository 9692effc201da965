from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from fdsearch import metrics
from fdsearch.metrics import UNPREDICTED

N_CLASSES = 4


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 40))
    classes = st.lists(st.integers(0, N_CLASSES - 1), min_size=n, max_size=n)
    return np.array(draw(classes)), np.array(draw(classes))


@settings(deadline=None)
@given(predictions())
def test_scores_equal_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, y_pred = pair
    labels, present = range(N_CLASSES), np.unique(y_true)
    assert np.array_equal(
        metrics.confusion(y_true, y_pred, N_CLASSES), reference.confusion_matrix(y_true, y_pred, labels=labels)
    )
    expected = reference.f1_score(y_true, y_pred, labels=present, average="macro", zero_division=0)
    assert metrics.macro_f1(y_true, y_pred, N_CLASSES) == pytest.approx(expected, abs=1e-12)
    expected_f1 = reference.f1_score(y_true, y_pred, labels=labels, average=None, zero_division=0)
    assert metrics.f1_per_class(y_true, y_pred, N_CLASSES) == pytest.approx(expected_f1, abs=1e-12)
    assert metrics.accuracy(y_true, y_pred) == pytest.approx(reference.accuracy_score(y_true, y_pred))


@settings(deadline=None)
@given(predictions())
def test_report_equals_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, y_pred = pair
    groups = np.arange(len(y_true)) // 3
    report = metrics.per_class_report(y_true, y_pred, list("abcd"), groups)
    table = reference.precision_recall_fscore_support(y_true, y_pred, labels=range(N_CLASSES), zero_division=0)
    for index, row in enumerate(report.values()):
        measured = [row[key] or 0 for key in ("precision", "recall", "f1", "support")]
        assert measured == pytest.approx([column[index] for column in table])
        assert row["groups"] == len(set(groups[y_true == index]))


def test_figures_without_support_are_none() -> None:
    report = metrics.per_class_report([0, 0], [0, 0], ["good", "bent"], [1, 2])
    assert report["bent"] == {"precision": None, "recall": None, "f1": None, "support": 0, "groups": 0}


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        ([0, 1, 2], [0, 1, 2], 1.0),
        ([0, 0, 0], [1, 1, 1], 0.0),
        ([0, 0, 0], [0, 0, 3], 0.8),  # class 3 is predicted but never true: it is not averaged in
        ([0, 1, 2], [0, 1, UNPREDICTED], 1.0),  # nor is a class whose pictures were not predicted
        ([], [], float("nan")),
        ([1], [UNPREDICTED], float("nan")),
    ],
)
def test_macro_f1(y_true: list[int], y_pred: list[int], expected: float) -> None:
    assert metrics.macro_f1(y_true, y_pred, N_CLASSES) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([0, 1], [0], "equally long"),
        ([0, 4], [0, 0], r"y_true must be in 0\.\.3, got 0\.\.4"),
        ([0, -1], [0, 0], "y_true must be"),
        ([0, 1], [0, 4], "y_pred must be"),
        ([0, 1], [0, -2], "y_pred must be"),
        ([[0, 1]], [[0, 1]], "flat"),
    ],
)
def test_wrong_arrays_are_refused(y_true: list[int], y_pred: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.macro_f1(y_true, y_pred, N_CLASSES)


def test_predict_marks_rows_without_scores() -> None:
    logits = np.array([[[0.0, 1.0], [np.nan, np.nan]], [[np.nan, 0.0], [3.0, 3.0]]], np.float32)
    assert metrics.predict(logits).tolist() == [[1, UNPREDICTED], [UNPREDICTED, 0]]


def test_softmax_and_log_loss() -> None:
    generator = np.random.default_rng(0)
    logits, y_true = generator.normal(0, 5, (50, N_CLASSES)), generator.integers(0, N_CLASSES, 50)
    shares = metrics.softmax(logits)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert metrics.log_loss(y_true, logits) == pytest.approx(
        reference.log_loss(y_true, shares, labels=range(N_CLASSES))
    )
    assert metrics.log_loss(y_true, logits + 1e5) == pytest.approx(metrics.log_loss(y_true, logits))
    assert metrics.log_loss([0], [[-1e4, 1e4]]) == pytest.approx(2e4)
    assert np.isnan(metrics.softmax([[np.nan, 1.0]])).all()


def test_metrics_take_scores() -> None:
    y_true, logits = [0, 1, 1], [[2.0, 1.0], [0.0, 1.0], [1.0, 0.0]]
    assert metrics.METRICS["macro_f1"](y_true, logits) == metrics.macro_f1(y_true, [0, 1, 0], 2)


def test_groups_per_class_counts_a_mixed_group_in_each_class() -> None:
    assert metrics.groups_per_class([0, 0, 1, 1, 1], [9, 9, 9, 4, 5], 3).tolist() == [1, 3, 0]


class TestGroupBootstrap:
    def test_equals_a_loop_over_pictures(self) -> None:
        generator = np.random.default_rng(3)
        y_true, groups = generator.integers(0, 3, 60), generator.integers(0, 20, 60)
        y_pred = np.stack([generator.integers(0, 3, 60), generator.integers(-1, 3, 60)])
        fast = metrics.group_bootstrap(y_true, y_pred, groups, 3, n_boot=50, random_state=7)
        (weights,) = metrics.resamples(len(np.unique(groups)), 50, 7)
        for b, counts in enumerate(weights.astype(int)):
            drawn = np.repeat(np.arange(60), counts[np.unique(groups, return_inverse=True)[1]])
            for m in range(2):
                assert fast[m, b] == pytest.approx(metrics.macro_f1(y_true[drawn], y_pred[m][drawn], 3))

    def test_chunks_do_not_change_the_resamples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = np.concatenate(list(metrics.resamples(11, 25, 1)))
        monkeypatch.setattr(metrics, "_CHUNK_BYTES", 11 * 8 * 4)
        chunks = list(metrics.resamples(11, 25, 1))
        assert [len(chunk) for chunk in chunks] == [4, 4, 4, 4, 4, 4, 1]
        assert np.array_equal(np.concatenate(chunks), whole)
        assert (whole.sum(axis=1) == 11).all()

    @settings(deadline=None, max_examples=25)
    @given(predictions(), st.integers(1, 7))
    def test_does_not_depend_on_the_order_of_pictures(self, pair: tuple[np.ndarray, np.ndarray], n_groups: int) -> None:
        y_true, y_pred = pair
        groups = np.arange(len(y_true)) % n_groups
        order = np.random.default_rng(0).permutation(len(y_true))
        samples = metrics.group_bootstrap(y_true, y_pred, groups, N_CLASSES, 20)
        shuffled = metrics.group_bootstrap(y_true[order], y_pred[order], groups[order], N_CLASSES, 20)
        assert np.array_equal(samples, shuffled)

    def test_copies_of_pictures_do_not_narrow_it(self) -> None:
        generator = np.random.default_rng(0)
        y_true, y_pred, groups = np.arange(40) % 2, generator.integers(0, 2, 40), np.arange(40)
        once = metrics.group_bootstrap(y_true, y_pred, groups, 2)
        copied = metrics.group_bootstrap(np.tile(y_true, 6), np.tile(y_pred, 6), np.tile(groups, 6), 2)
        assert np.array_equal(once, copied)

    @pytest.mark.parametrize("groups", [[0, 1], [0, 1, 2, 3]])
    def test_groups_of_another_length_are_refused(self, groups: list[int]) -> None:
        with pytest.raises(ValueError, match="groups must name the part of each of 3 pictures"):
            metrics.group_bootstrap([0, 1, 1], [0, 1, 1], groups, 2)

    def test_groups_that_nobody_predicted_do_not_count(self) -> None:
        y_true, y_pred, groups = np.arange(60) % 2, np.arange(60) % 5 // 2 % 2, np.arange(60)
        alone = metrics.group_bootstrap(y_true[:20], y_pred[:20], groups[:20], 2)
        y_pred[20:] = UNPREDICTED
        assert np.array_equal(metrics.group_bootstrap(y_true, y_pred, groups, 2), alone)

    @pytest.mark.parametrize("rows", [[], [UNPREDICTED]])
    def test_nothing_to_resample_is_refused(self, rows: list[int]) -> None:
        with pytest.raises(ValueError, match="some of them predicted"):
            metrics.group_bootstrap([0] * len(rows), rows, rows, 2)
