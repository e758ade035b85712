"""Precision, recall, F1, top-k, class weights and moving averages: by hand, and refused."""

import math

import numpy as np
import pytest

from tinygrad_fm import nn, train

TRUE = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 3])
SAID = np.array([0, 0, 0, 1, 1, 0, 2, 2, 1, 2])
NAMES = ["shirt", "bag", "boot", "coat"]


def test_precision_recall_and_f1_by_hand():
    report = train.classification_report(SAID, TRUE, NAMES)
    np.testing.assert_allclose(report.precision, [3 / 4, 1 / 3, 2 / 3, 0])
    np.testing.assert_allclose(report.recall, [3 / 4, 1 / 2, 2 / 3, 0])
    np.testing.assert_allclose(report.f1, [3 / 4, 2 / 5, 2 / 3, 0])
    np.testing.assert_array_equal(report.support, [4, 2, 3, 1])
    assert report.accuracy == 0.6
    assert report.macro["precision"] == pytest.approx((3 / 4 + 1 / 3 + 2 / 3) / 4)
    for one, column in (("precision", report.precision), ("recall", report.recall)):
        np.testing.assert_array_equal(getattr(train, one)(SAID, TRUE), column)
    np.testing.assert_array_equal(train.f1_score(SAID, TRUE), report.f1)


def test_a_denominator_of_zero_is_what_was_asked_for():
    """Nothing was taken for a coat, so that class has no precision; it has a recall, of 0."""
    report = train.classification_report(SAID, TRUE, NAMES, zero_division=math.nan)
    assert math.isnan(report.precision[3])
    assert report.recall[3] == report.f1[3] == 0
    assert report.macro["precision"] == pytest.approx((3 / 4 + 1 / 3 + 2 / 3) / 3)
    assert train.precision(SAID, TRUE, zero_division=1.0)[3] == 1
    assert train.recall([0], [0], zero_division=0.5).tolist() == [1.0]
    absent = train.classification_report([0, 0], [0, 0], ["a", "b"], zero_division=1)
    assert (absent.recall[1], absent.f1[1]) == (1, 1)


def test_the_report_prints_as_a_table():
    assert str(train.classification_report(SAID, TRUE, NAMES)) == (
        "class          precision  recall      F1  examples\n"
        "--------------------------------------------------\n"
        "shirt             0.7500  0.7500  0.7500         4\n"
        "bag               0.3333  0.5000  0.4000         2\n"
        "boot              0.6667  0.6667  0.6667         3\n"
        "coat              0.0000  0.0000  0.0000         1\n"
        "--------------------------------------------------\n"
        "macro average     0.4375  0.4792  0.4542        10\n"
        "accuracy                          0.6000        10"
    )
    empty = train.classification_report([0], [0], ["a", "b"], zero_division=math.nan)
    assert "b                      -       -       -         0" in str(empty)


def test_a_saved_matrix_gives_the_same_report():
    report = train.report_of(train.confusion_matrix(SAID, TRUE))
    np.testing.assert_array_equal(report.f1, train.f1_score(SAID, TRUE))
    assert report.class_names == ("0", "1", "2", "3")
    np.testing.assert_array_equal(train.report_of(report.matrix.tolist()).f1, report.f1)
    with pytest.raises(ValueError, match=r"has shape \(C, C\), not \(4, 3\)"):
        train.report_of(report.matrix[:, :3])
    with pytest.raises(ValueError, match="3 class names for 4 classes"):
        train.report_of(report.matrix, NAMES[:3])


def test_a_class_beyond_the_names_is_refused():
    with pytest.raises(ValueError, match="label 3 is no class; there are 3, 0 to 2"):
        train.classification_report(SAID, TRUE, NAMES[:3])


# ---- top k ---------------------------------------------------------------------------------------

SCORES = np.array([[5, 4, 3, 2], [2, 3, 4, 5], [1, 1, 1, 1], [0, 9, 8, 7]], float)


@pytest.mark.parametrize(("k", "share"), [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)])
def test_top_k(k, share):
    labels = np.array([0, 2, 2, 0])  # ranks 1, 2, 3 (of equal ones the first counts) and 4
    assert train.top_k_accuracy(SCORES, labels, k) == share
    assert train.top_k_accuracy(SCORES, np.eye(4)[labels], k) == share


def test_top_one_is_the_accuracy():
    scores = np.random.default_rng(0).integers(0, 3, (50, 4)).astype(float)
    labels = np.arange(50) % 4
    assert train.top_k_accuracy(scores, labels, 1) == train.accuracy(scores, labels)


@pytest.mark.parametrize(
    ("scores", "labels", "k", "message"),
    [
        (SCORES, [0, 1, 2, 3], 0, "k is from 1 to the 4 classes, not 0"),
        (SCORES, [0, 1, 2, 3], 5, "k is from 1 to the 4 classes, not 5"),
        (SCORES, [0, 1, 2, 4], 2, "label 4 is no class; there are 4"),
        (np.array([1, 2]), [1, 2], 1, r"scores have shape \(N, C\), not \(2,\)"),
    ],
)
def test_top_k_refuses(scores, labels, k, message):
    with pytest.raises(ValueError, match=f"top_k_accuracy: {message}"):
        train.top_k_accuracy(scores, labels, k)


# ---- class weights and moving averages -----------------------------------------------------------


def test_weighted_by_class_every_class_counts_alike():
    weights = train.class_weights(TRUE)
    np.testing.assert_allclose(weights, 10 / (4 * np.array([4, 2, 3, 1])))
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, train.class_weights(np.eye(4)[TRUE]))
    logits = np.random.default_rng(0).standard_normal((10, 4))
    each = nn.CrossEntropyLoss("none")(logits, TRUE)
    by_class = [each[c == TRUE].mean() for c in range(4)]
    weighted = nn.CrossEntropyLoss(weight=weights)(logits, TRUE)
    assert float(weighted) == pytest.approx(np.mean(by_class), rel=1e-6)


def test_a_class_without_examples_has_no_weight():
    with pytest.raises(ValueError, match="class 1 of 3 has no examples"):
        train.class_weights([0, 2, 2])


@pytest.mark.parametrize("window", [1, 2, 3, 7, 10, 11, 12, 100])
def test_a_moving_average_is_the_mean_of_its_window_alone(window):
    values = np.random.default_rng(0).standard_normal(11) * [1, 1e17, 1, 1, 1, 1, 1e-9, 1, 1, 1, 1]
    values[4] = math.nan
    expected = [np.mean(values[max(i - window + 1, 0) : i + 1]) for i in range(11)]
    np.testing.assert_allclose(train.moving_average(values, window), expected, rtol=1e-14)


def test_moving_averages_by_hand():
    found = train.moving_average([1, 2, 3, 4, 5], 3)
    np.testing.assert_allclose(found, [1, 1.5, 2, 3, 4])
    np.testing.assert_allclose(train.moving_average([1.0, 3.0], 1), [1, 3])
    assert train.moving_average([], 3).shape == (0,)
    with pytest.raises(ValueError, match="window is at least 1, not 0"):
        train.moving_average([1.0], 0)
    with pytest.raises(ValueError, match=r"shape \(N,\), not \(1, 1\)"):
        train.moving_average([[1.0]], 1)
