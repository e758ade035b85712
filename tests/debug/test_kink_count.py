"""kinks() counts the elements of a run that sat exactly on a kink, by operation and line."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import functional, nn
from tinygrad_fm.debug import kinks
from tinygrad_fm.debug.kink_table import CORNERS, EDGES, KINKS

NAMES = {"np": np, "functional": functional, "nn": nn}


def leaf(*numbers):
    return tg.Tensor(np.array(numbers, dtype=float), requires_grad=True)


# function, arguments, the operation that meets them, how many elements sit on a kink
COUNTED = {
    "abs": (np.abs, [[-1, 0, 0, 2]], "absolute", 2),
    "fabs": (np.fabs, [[-1, 0, 0, 2]], "fabs", 2),
    "relu": (functional.relu, [[-1, 0, 0, 2]], "relu", 2),
    "leaky_relu": (functional.leaky_relu, [[-1, 0, 0, 2]], "leaky_relu", 2),
    "elu": (lambda x: functional.elu(x, 2.0), [[-1, 0, 2]], "elu", 1),
    "maximum": (np.maximum, [[1, 2, 3], [2, 2, 2]], "maximum", 1),
    "a number": (lambda x: np.minimum(x, 2), [[1, 2, 3]], "minimum", 1),
    "max": (np.max, [[1, 3, 3]], "max", 2),
    "amin by rows": (lambda x: np.amin(x, axis=1), [[[1, 1, 2], [1, 2, 3]]], "min", 2),
    "max keepdims": (lambda x: np.max(x, axis=0, keepdims=True), [[[1, 1], [1, 2]]], "max", 2),
    "clip": (lambda x: np.clip(x, -1, 1), [[-1, 0, 1, 2]], "clip", 2),
    "clip one side": (lambda x: np.clip(x, None, 1), [[-1, 0, 1, 2]], "clip", 1),
    "sqrt": (np.sqrt, [[0, 1]], "sqrt", 1),
    "sign": (np.sign, [[0, 1]], "sign", 1),
    "floor": (np.floor, [[0, 0.5, 2]], "floor", 2),
    "round": (np.round, [[0, 0.5, 2, -1.5]], "round", 2),
    "a threshold": (lambda x: np.where(x > 1, x, 0), [[0, 1, 2]], "greater", 1),
    "a root": (lambda x: x**0.3, [[0, 1]], "power", 1),
    "hypot": (np.hypot, [[0, 1], [0, 1]], "hypot", 1),
    "std": (np.std, [[2, 2]], "std", 1),
    "remainder": (np.remainder, [[4, 5], [2, 2]], "remainder", 1),
    "max_pool": (
        lambda x: functional.max_pool2d(x, 2),
        [[[[[1, 2, 7, 7], [0, 0, 0, 0]]]]],
        "max_pool",
        1,
    ),
    "l1_loss": (functional.l1_loss, [[1, 2], [1, 3]], "absolute", 1),
    "hinge_loss": (lambda x: functional.hinge_loss(x, np.ones(2)), [[1, 2]], "maximum", 1),
}


@pytest.mark.parametrize(
    ("function", "arguments", "operation", "elements"), COUNTED.values(), ids=COUNTED
)
def test_the_elements_on_a_kink_are_counted(function, arguments, operation, elements):
    tensors = [tg.Tensor(a, requires_grad=True, dtype=float) for a in arguments]
    with kinks() as found:
        function(*tensors)
    assert [(c.operation, c.elements) for c in found.counts] == [(operation, elements)]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("row", CORNERS + EDGES, ids=lambda row: row.where)
def test_every_corner_and_edge_of_the_table_is_noticed(row):
    tensors = [tg.Tensor(a, requires_grad=True, dtype=float) for a in row.arguments]
    parameters = "x, y" if len(tensors) == 2 else "x"
    for spelling in row.spellings:
        if "[True, False]" in spelling:  # a mask from elsewhere has no threshold
            continue
        with kinks() as found:
            eval(f"lambda {parameters}: {spelling}", dict(NAMES))(*tensors)
        assert found.elements > 0, spelling


@pytest.mark.filterwarnings("ignore:invalid value")  # arccosh has nothing here
@pytest.mark.parametrize(
    "row",
    [row for row in KINKS if row.where != "heaviside"],  # whose 0 stands in the spelling
    ids=lambda row: row.where,
)
def test_nothing_is_counted_away_from_a_kink(row):
    tensors = [
        tg.Tensor(np.linspace(0.31, 0.37, np.size(a)).reshape(np.shape(a)) + 0.1 * i, True)
        for i, a in enumerate(row.arguments)
    ]
    parameters = "x, y" if len(tensors) == 2 else "x"
    for spelling in row.spellings:
        with kinks() as found:
            eval(f"lambda {parameters}: {spelling}", dict(NAMES))(*tensors)
        assert found.elements == 0, spelling


def test_each_line_and_module_has_its_own_count():
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.ReLU(), nn.Linear(3, 2, rng=0), nn.ReLU())
    with kinks() as found:
        model(np.zeros((4, 2), np.float32))  # all in one line
        functional.relu(leaf(0, 1))
    assert [(c.elements, c.total) for c in found.counts] == [(12, 12), (8, 8), (1, 2)]
    assert [c.module for c in found.counts] == [
        "Sequential > 1 (ReLU)",
        "Sequential > 3 (ReLU)",
        "",
    ]
    assert all(c.line.startswith(__file__) for c in found.counts)


def test_calls_of_one_line_add_up():
    with kinks() as found:
        for x in (leaf(0, 1), leaf(0, 0), leaf(1, 1)):
            np.abs(x)
    assert [(c.elements, c.total, c.calls) for c in found.counts] == [(3, 6, 3)]
    assert "absolute: 3 of 6 elements in 3 calls, at " in str(found)
    assert "np.abs(x)" in str(found)


def test_a_run_without_kinks_says_so():
    with kinks() as found:
        np.abs(leaf(1, 2)) * 3
    assert str(found) == "none of 2 elements sat on a kink, in 1 operations"


def test_what_is_not_recorded_has_no_slope_and_is_not_counted():
    with kinks() as found:
        functional.relu(tg.Tensor([0.0]))
        with tg.no_grad():
            functional.relu(leaf(0))
    assert found.calls == 0


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_backward_pass_is_not_counted(create_graph):
    x = leaf(0, 1)
    with kinks() as found:
        np.sum(np.abs(x)).backward(create_graph=create_graph)
    assert [(c.operation, c.elements) for c in found.counts] == [("absolute", 1)]


def test_watchers_stand_one_inside_the_other():
    with kinks() as outer, tg.debug.trace_nonfinite() as trace, kinks() as inner:
        np.sum(np.log(np.abs(leaf(0, 1)))).backward()
    assert outer.elements == inner.elements == 2
    assert trace.origin.operation == "log"
    assert tg.debug.kinks().elements == 0
