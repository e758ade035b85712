"""Pictures: drawn, they say what they show and leave matplotlib alone; wrong input is refused."""

import sys

import numpy as np
import pytest

from tinygrad_fm import plots, train
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


IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 5)).astype(np.uint8)
SAID, TRUE = np.arange(12) % 3, np.arange(12) % 4
WEIGHT = np.random.default_rng(1).standard_normal((30, 8))
LOSSES = {"first": [2.0, 1.0, 0.5], "second": [2.0, 1.5]}
NUMBERS = (["a", "b"], [0.8, None], {"as printed": ([0.82, 0.5], [0.01, np.nan])})
SEARCH = {"penalty": [1e-3, 1e-2], "learning rate": [1e-4, 1e-3]}

# every picture, and the number of its panels (axes, scales included)
PICTURES = {
    "learning_curves": (lambda: plots.learning_curves({"train_loss": [2.0, 1.0]}), 1),
    "overlay": (lambda: plots.overlay({"a": {"train_loss": [2.0]}, "b": {"train_loss": [1]}}), 1),
    "confusion_matrix": (lambda: plots.confusion_matrix(MATRIX), 2),
    "mistakes": (lambda: plots.mistakes(IMAGES, SAID, TRUE, columns=3), 9),
    "weights_tiles": (lambda: plots.weights_tiles(WEIGHT, (6, 5)), 2),
    "weights_rgb": (lambda: plots.weights_rgb({"start": WEIGHT, "end": WEIGHT}, (6, 5)), 2),
    "biases": (lambda: plots.biases({"0": [1, -1.0], "2": [0.5]}, title="Biases"), 2),
    "class_scores": (lambda: plots.class_scores(train.report_of(MATRIX)), 1),
    "loss_curves": (lambda: plots.loss_curves(LOSSES, window=2), 1),
    "numbers": (lambda: plots.numbers(*NUMBERS), 1),
    "search_scatter": (lambda: plots.search_scatter(SEARCH, [0.7, 0.8]), 2),
    "weights_maps": (lambda: plots.weights_maps({"1": WEIGHT, "2": WEIGHT.T}), 4),
    "activations": (lambda: plots.activations({"images": IMAGES, "1": np.ones((12, 10))}), 2),
}


def test_every_picture_has_a_case():
    others = {"save", "available", "pca_rgb"}
    functions = {n for n in plots.__all__ if callable(getattr(plots, n)) and n[0].islower()}
    assert functions - others == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_can_be_saved_twice_alike(name, tmp_path):
    draw, panels = PICTURES[name]
    figure = draw()
    assert len(figure.axes) == panels
    first, second = (plots.save(f, tmp_path / f"{i}.svg") for i, f in enumerate((figure, draw())))
    assert first.read_bytes() == second.read_bytes()


def words(figure):
    """All texts that are drawn, with their boxes: those of ticks beyond their axis are not."""
    ticks = {
        label: axis.get_view_interval().min() <= tick.get_loc() <= axis.get_view_interval().max()
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        for label in (tick.label1, tick.label2)
    }
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_text().strip() and text.get_visible() and ticks.get(text, True):
            yield text.get_text(), text.get_window_extent()


@pytest.mark.parametrize("name", PICTURES)
def test_no_words_overlap_or_leave_the_picture(name):
    figure = PICTURES[name][0]()
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    shown = list(words(figure))
    assert shown
    for i, (text, box) in enumerate(shown):
        assert min(box.x0, box.y0) >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
        for other, second in shown[:i]:
            across = min(box.x1, second.x1) - max(box.x0, second.x0)
            up = min(box.y1, second.y1) - max(box.y0, second.y0)
            assert min(across, up) <= 2, f"{text!r} overlaps {other!r}"


def test_learning_curves_show_the_moving_average():
    history = History()
    for epoch in (1, 2):
        history.append({"epoch": epoch, "train_loss": 1.0}, [4.0 / epoch, 2.0])
    (axes,) = plots.learning_curves(history, window=2).axes
    average = axes.lines[0]
    np.testing.assert_allclose(average.get_xdata(), [0.5, 1, 1.5, 2])
    np.testing.assert_allclose(average.get_ydata(), [4, 3, 2, 2])
    assert average.get_label() == "mean of 2 batches"


def test_an_overlay_has_a_line_for_each_run_that_can_be_told_apart():
    runs = {str(i): {"train_loss": [2.0, i]} for i in range(9)}
    figure = plots.overlay(runs, columns=("train_loss", "nothing"))
    (axes,) = figure.axes
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(axes.lines) == len(looks) == 9
    (legend,) = figure.legends
    assert legend.get_texts()[2].get_text() == "2: train loss 2"


def test_losses_of_batches_are_averaged_and_thinned():
    losses = np.arange(5000.0)
    (axes,) = plots.loss_curves({"a": losses}, window=3).axes
    x, y = axes.lines[0].get_data()
    assert len(x) == 1000
    assert (x[0], x[-1]) == (1, 5000)
    np.testing.assert_allclose(y[1:], np.maximum(x[1:] - 2, (x[1:] - 1) / 2))


def test_reported_numbers_are_rings_beside_measured_ones_with_their_spread():
    (axes,) = plots.numbers(*NUMBERS).axes
    points, rings = (line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(points.get_xdata(), [0.82, 0.5])
    np.testing.assert_array_equal(rings.get_xdata(), [0.8, np.nan])
    spread = axes.collections[0].get_segments()[0]
    np.testing.assert_allclose(spread[:, 0], [0.81, 0.83])


def test_scores_of_classes_are_bars_of_their_lengths():
    report = train.report_of(MATRIX, ["shirt", "bag", "boot"])
    (axes,) = plots.class_scores(report).axes
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(widths, np.concatenate([report.precision, report.recall, report.f1]))
    assert [t.get_text() for t in axes.get_yticklabels()] == ["shirt", "bag", "boot"]


def test_mistakes_show_what_was_said_and_what_is_true():
    figure = plots.mistakes(IMAGES[:, None], SAID, TRUE, ["a", "b", "c", "d"], limit=2)
    first = figure.axes[0]
    assert first.get_title(loc="right") == "3"
    assert [text.get_text() for text in first.texts] == ["a?", "is d"]
    assert figure.get_suptitle() == "The first 2 of 9 mistakes"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mistakes_may_be_in_colour(dtype):
    images = np.zeros((12, 3, 6, 5), dtype)
    images[:, 0] = 1
    shown = plots.mistakes(images, SAID, TRUE).axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown[0, 0], [1, 0, 0])


def test_colours_by_principal_components_are_those_of_report_001():
    """Scores along the eigenvectors of the covariance, by a singular value decomposition here."""
    found = plots.pca_rgb(WEIGHT / 5, (6, 5))
    centred = WEIGHT / 5 - WEIGHT.mean(axis=0) / 5
    _, _, rows = np.linalg.svd(centred, full_matrices=False)
    for channel, direction in enumerate(rows[:3]):
        direction = direction * np.sign(direction[np.abs(direction).argmax()])
        expected = np.clip(centred @ direction, -1, 1) * 0.5 + 0.5
        np.testing.assert_allclose(found[..., channel].ravel(), expected, atol=1e-10)


def test_hidden_units_are_laid_out_as_a_square_without_the_rest():
    figure = plots.activations({"a layer": np.arange(20.0).reshape(2, 10)}, columns=1)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "3x3 units of 10"
    shown = axes.images[0].get_array()
    np.testing.assert_array_equal(shown[:3], np.arange(9).reshape(3, 3))
    np.testing.assert_array_equal(shown[-3:], np.arange(10, 19).reshape(3, 3))


def test_kernels_of_a_convolution_are_tiles():
    figure = plots.weights_tiles(np.random.default_rng(0).standard_normal((4, 2, 3, 3)))
    assert figure.get_suptitle() == "Weights of the first layer: 8 kernels"


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
    with pytest.raises(plots.PlotError, match="no run has any of the columns a, b"):
        plots.overlay({"x": {"train_loss": [1.0]}}, columns=("a", "b"))
    with pytest.raises(plots.PlotError, match="no mistake to show among 12 images"):
        plots.mistakes(IMAGES, TRUE, TRUE)
    with pytest.raises(ValueError, match=r"images \(12, 30\), predictions \(12,\), labels \(12,\)"):
        plots.mistakes(IMAGES.reshape(12, -1), SAID, TRUE)
    with pytest.raises(ValueError, match="weights for 30 pixels are not of square images; pass i"):
        plots.weights_tiles(WEIGHT)
    with pytest.raises(ValueError, match=r"the weights have shape \(8,\); expected \(pixels, u"):
        plots.weights_tiles(WEIGHT[0])
    with pytest.raises(ValueError, match=r"shape \(30, 2\); expected \(pixels, units\), at least"):
        plots.pca_rgb(WEIGHT[:, :2])
    with pytest.raises(ValueError, match=r"biases: a has shape \(30, 8\)"):
        plots.biases({"a": WEIGHT})
    with pytest.raises(ValueError, match="biases: a has no bias"):
        plots.biases({"a": None})
    with pytest.raises(ValueError, match=r"activations: a has shape \(0, 5\); expected at least"):
        plots.activations({"a": np.zeros((0, 5))})
    with pytest.raises(ValueError, match="class 2 has no name; there are 2"):
        plots.mistakes(IMAGES[:1], [2], [0], ["a", "b"])
    with pytest.raises(TypeError, match="predictions are class numbers, not float64"):
        plots.mistakes(IMAGES[:1], [2.0], [0])
    with pytest.raises(ValueError, match="limit and columns are at least 1, not 0 and 8"):
        plots.mistakes(IMAGES, SAID, TRUE, limit=0)
    with pytest.raises(ValueError, match="limit is at least 1, not 0"):
        plots.weights_tiles(WEIGHT, (6, 5), limit=0)
    with pytest.raises(plots.PlotError, match="no loss or accuracy among seconds"):
        plots.learning_curves({"seconds": [1.0]})
    with pytest.raises(ValueError, match=r"the columns have the lengths {'train_loss': 2, 'e"):
        plots.learning_curves({"train_loss": [1.0, 2.0], "epoch": [1]})
    with pytest.raises(ValueError, match=r"activations: a has shape \(3,\)"):
        plots.activations({"a": np.zeros(3)})
    with pytest.raises(ValueError, match=r"weights_maps: 1 has shape \(8,\); expected \(inputs"):
        plots.weights_maps({"1": WEIGHT[0]})
    with pytest.raises(plots.PlotError, match="no losses"):
        plots.loss_curves({"a": []})
    with pytest.raises(ValueError, match=r"2 names for parts of lengths \[1, 2\]"):
        plots.numbers(["a", "b"], [1.0, 2.0], {"x": ([1.0], [0.0])})
    with pytest.raises(ValueError, match=r"settings {'a': 2} for 2 scores; expected two of them"):
        plots.search_scatter({"a": [1, 2]}, [1, 2])
    with pytest.raises(plots.PlotError, match="no numbers"):
        plots.numbers([], [], {})
    for nothing in (plots.biases, plots.activations, plots.weights_rgb, plots.weights_maps):
        with pytest.raises(plots.PlotError, match="to show"):
            nothing({})
    with pytest.raises(ValueError, match=r"\.png or \.svg, not as x\.bmp|not as 'x\.bmp'"):
        plots.save(plots.confusion_matrix(MATRIX), tmp_path / "x.bmp")
