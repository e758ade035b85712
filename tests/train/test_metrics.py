"""Metrics: accuracy and the confusion matrix, by hand and with wrong arguments."""

import numpy as np
import pytest

from tinygrad_fm import Tensor
from tinygrad_fm.train import accuracy, confusion_matrix

SCORES = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.4, 0.4, 0.2]])
CLASSES = np.array([1, 0, 2, 0])  # of equal scores the first counts
LABELS = np.array([1, 2, 2, 0])
ONE_HOT = np.eye(3)[LABELS]


@pytest.mark.parametrize("labels", [LABELS, ONE_HOT, LABELS.astype(np.uint8)])
@pytest.mark.parametrize("predictions", [SCORES, CLASSES, Tensor(SCORES, requires_grad=True)])
def test_both_are_right(predictions, labels):
    assert accuracy(predictions, labels) == 0.75
    matrix = confusion_matrix(predictions, labels)
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 1, 0], [1, 0, 1]])
    assert matrix.dtype == np.int64


def test_rows_are_the_true_classes():
    np.testing.assert_array_equal(confusion_matrix([0, 0], [1, 1]), [[0, 0], [2, 0]])


def test_classes_that_do_not_occur_have_a_row_and_a_column():
    assert confusion_matrix([0, 1], [0, 1], classes=5).shape == (5, 5)
    assert confusion_matrix(SCORES, np.zeros(4, int)).shape == (3, 3)


@pytest.mark.parametrize("metric", [accuracy, confusion_matrix])
@pytest.mark.parametrize(
    ("predictions", "labels", "error", "message"),
    [
        (SCORES, LABELS[:3], ValueError, r"predictions of shape \(4, 3\) for labels of shape \(3,"),
        (SCORES, LABELS.astype(float), TypeError, r"labels of shape \(4,\) .* not float64; write"),
        (SCORES[0], LABELS, TypeError, r"predictions of shape \(3,\) .* integer dtype"),
        (SCORES[None], LABELS, ValueError, r"predictions have shape \(1, 4, 3\); expected class"),
        (np.array(3), LABELS, ValueError, r"predictions have shape \(\)"),
        (SCORES, LABELS + 3, ValueError, r"label \d is no class; there are 3, 0 to 2"),
        (SCORES, LABELS - 3, ValueError, r"label -\d is no class; there are 3, 0 to 2"),
        (
            SCORES,
            LABELS[:, None],
            ValueError,
            r"labels have shape \(4, 1\), one col.* labels\[:, 0\]",
        ),
        (SCORES[:, :1], LABELS, ValueError, r"predictions have shape \(4, 1\), one column"),
        (SCORES, np.eye(5)[LABELS], ValueError, r"shape \(4, 3\) for labels of shape \(4, 5\)"),
        (np.zeros((0, 3)), np.zeros(0, int), ValueError, "no examples"),
        (SCORES * [[1], [1], [np.nan], [1]], LABELS, ValueError, "row 2 of the predictions holds"),
    ],
)
def test_both_refuse(metric, predictions, labels, error, message):
    with pytest.raises(error, match=f"{metric.__name__}: .*{message}|{metric.__name__}: {message}"):
        metric(predictions, labels)


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ([0, 3], [0, 1], "prediction 3 is no class; there are 3, 0 to 2"),
        ([0, 1], [0, -1], "label -1 is no class"),
    ],
)
def test_a_class_outside_is_refused(predictions, labels, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(predictions, labels, classes=3)
