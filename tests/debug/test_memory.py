"""The memory audit: what is kept, told apart and counted once, and a peak that comes true."""

import gc
import tracemalloc

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import GraphError, Tensor, debug, nn, optim

LOSS = nn.CrossEntropyLoss()
ROWS = np.random.default_rng(0).random((256, 784), dtype=np.float32)
IMAGES = ROWS[:64].reshape(64, 1, 28, 28)
LABELS = np.arange(256) % 10


def block():
    return nn.Sequential(nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 128), nn.ReLU())


def deep(wrap):
    blocks = [wrap(block()) for _ in range(6)]
    return nn.Sequential(nn.Linear(784, 128), *blocks, nn.Linear(128, 10))


def perceptron():
    layers = nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 10)
    return nn.Sequential(*layers)


def convolutional():
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * 49, 10)),
    )


def measured(make_loss):
    """What is kept, and the peaks of forward and backward pass, by Python's own account."""
    make_loss().backward()
    gc.collect()
    tracemalloc.start()
    try:
        loss = make_loss()
        kept, forward = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        loss.backward()
        return kept, forward, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (perceptron, ROWS),
        (convolutional, IMAGES),
        (lambda: deep(lambda module: module), ROWS),
        (lambda: deep(nn.Checkpoint), ROWS),
    ],
    ids=["perceptron", "convolutional", "deep", "checkpoints"],
)
def test_the_prediction_is_within_a_tenth(make, x):
    model, labels = make(), LABELS[: len(x)]

    def make_loss():
        for p in model.parameters():
            p.grad = None
        return LOSS(model(x), labels)

    found = debug.memory(make_loss(), inputs=(x, labels))
    kept, forward, backward = measured(make_loss)
    assert found.kept == pytest.approx(kept, rel=0.1)
    assert found.forward_peak == pytest.approx(forward, rel=0.1)
    assert found.backward_peak == pytest.approx(backward, rel=0.1)


def test_checkpoints_need_less():
    plain = debug.memory(LOSS(deep(lambda module: module)(ROWS), LABELS))
    assert debug.memory(LOSS(deep(nn.Checkpoint)(ROWS), LABELS)).kept < 0.7 * plain.kept


def test_a_buffer_counts_once_for_the_first_operation_it_is_of():
    x = Tensor(np.ones((10, 10)), requires_grad=True)
    y = np.exp(x)
    found = debug.memory(np.sum(y.T * y[:5].reshape(1, -1)[:, :10] * np.sin(y)))
    exp = [row for row in found.operations if row.operation == "exp"]
    assert [(row.bytes, row.shape) for row in exp] == [(800, (10, 10))]
    assert "T" not in [row.operation for row in found.operations]


def test_parameters_inputs_and_intermediates_are_told_apart():
    w = Tensor(np.ones((784, 10)), requires_grad=True)
    x = ROWS.astype(np.float64)
    found = debug.memory(np.sum(np.tanh(x @ w)), optim.Adam([w], lr=0.1))
    assert found.parameters == w.nbytes
    assert found.inputs == x.nbytes
    assert [(row.operation, row.bytes) for row in found.operations] == [("tanh", 256 * 10 * 8)]
    assert found.optimizer >= 2 * w.nbytes
    assert found.total == found.parameters + found.inputs + found.optimizer + found.peak


def test_each_operation_is_named_with_its_module_and_line():
    model = perceptron()
    loss = LOSS(model(ROWS), LABELS)  # the line
    found = debug.memory(loss)
    relu = next(row for row in found.operations if row.operation == "relu")
    assert relu.module == "Sequential > 1 (ReLU)"
    assert relu.line.startswith(__file__)
    assert (relu.shape, relu.dtype, relu.bytes) == ((256, 128), np.float32, 256 * 128 * 4)
    assert found.modules()["Sequential > 1 (ReLU)"] == relu.bytes
    assert sum(found.modules().values()) == found.kept


def test_printed_it_is_a_table():
    model = perceptron()
    found = debug.memory(LOSS(model(ROWS), LABELS))
    text = str(found)
    row = next(line for line in text.splitlines() if line.startswith("relu"))
    assert row.split()[:8] == ["relu", "256x128", "float32", "128.0", "KiB", "Sequential", ">", "1"]
    assert "kept for the backward pass" in text
    assert found.to_text(rows=1).count("... and ") == 2


def test_the_audit_leaves_the_graph_as_it_was():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = np.sum(np.exp(x))
    assert debug.memory(y) == debug.memory(y)
    y.backward()
    np.testing.assert_array_equal(x.grad.data, np.exp(x.data))


def test_it_refuses_what_has_no_graph():
    x = Tensor([1.0], requires_grad=True)
    with pytest.raises(GraphError, match=r"Tensor that requires a gradient, not 3\.0"):
        debug.memory(3.0)
    with tg.no_grad(), pytest.raises(GraphError, match="a recorded Tensor"):
        debug.memory(np.exp(x))
    y = np.exp(x)
    y.backward()
    with pytest.raises(GraphError, match=r"freed by a backward pass; call memory\(loss\) before"):
        debug.memory(y)
