"""Pictures: drawn, they say what they show and leave matplotlib alone; wrong input is refused."""

import sys

import numpy as np
import pytest

from tinygrad_fm import plots
from tinygrad_fm.train import History

matplotlib = pytest.importorskip("matplotlib")

MATRIX = np.array([[90, 10, 0], [5, 80, 15], [0, 0, 0]])


@pytest.fixture
def history():
    return History(
        {
            "epoch": n,
            "train_loss": 1 / n,
            "train_accuracy": 0.5 + n / 20,
            "validation_loss": 1.5 / n,
            "validation_accuracy": 0.5 + n / 30,
        }
        for n in range(1, 6)
    )


def test_learning_curves_show_both_sets(history):
    figure = plots.learning_curves(history, title="a title", validation="test")
    loss, accuracy = figure.axes
    assert loss.get_title(loc="left") == "Loss"
    assert [t.get_text() for t in accuracy.get_legend().get_texts()] == [
        "training, last 75.00%",
        "test, last 66.67%",
    ]
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), history["train_loss"])
    assert {line.get_color() for line in loss.lines} <= set(plots.COLOURS)


def test_learning_curves_do_with_what_there_is():
    figure = plots.learning_curves({"train_loss": [1.0, None, float("nan")]})
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, 2, 3])
    assert len(axes.lines) == 1


def test_a_confusion_matrix_shows_counts_and_names():
    figure = plots.confusion_matrix(MATRIX, ["shirt", "bag", "boot"], title="a title")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["90", "10", "5", "80", "15"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["shirt", "bag", "boot"]
    assert axes.get_ylabel() == "true class"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_picture_is_the_same_file(history, tmp_path, kind):
    files = [tmp_path / f"{name}.{kind}" for name in "ab"]
    for file in files:
        plots.save(plots.learning_curves(history), file)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert first.startswith(b"\x89PNG" if kind == "png" else b"<?xml")


def test_the_users_settings_are_neither_used_nor_changed(history, tmp_path):
    plain = plots.save(plots.learning_curves(history), tmp_path / "plain.png").read_bytes()
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        path = plots.save(plots.learning_curves(history), tmp_path / "red.png")
        assert dict(matplotlib.rcParams) == before
    assert path.read_bytes() == plain


def test_pyplot_stays_out(history):
    import subprocess

    code = "from tinygrad_fm import plots; plots.confusion_matrix([[1]]); import sys; "
    code += "assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_says_how_to_get_it(history, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(plots.PlotError, match=r'pip install "tinygrad_fm\[plot\]"'):
        plots.learning_curves(history)


def test_what_is_wrong_is_refused(tmp_path):
    with pytest.raises(plots.PlotError, match="no epoch"):
        plots.learning_curves(History())
    with pytest.raises(ValueError, match=r"shape \(C, C\), not \(2, 3\)"):
        plots.confusion_matrix(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="2 class names for 3 classes"):
        plots.confusion_matrix(MATRIX, ["a", "b"])
    with pytest.raises(ValueError, match=r"\.png or \.svg, not as x\.bmp|not as 'x\.bmp'"):
        plots.save(plots.confusion_matrix(MATRIX), tmp_path / "x.bmp")
