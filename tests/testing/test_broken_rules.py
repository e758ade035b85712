"""Deliberately broken rules: Hypothesis finds each with a small counterexample.

A rule is broken in one of the ways in which rules written by hand are: a sign, a factor, a missing
transpose, a wrong axis, a forgotten un-broadcasting, the derivative taken at the output.
"""

import warnings

import numpy as np
import pytest
from hypothesis import find, settings

import tinygrad_fm as tg
from tinygrad_fm.engine import primitive
from tinygrad_fm.testing import check_grads
from tinygrad_fm.testing import strategies as fm

NEAR_ONE = fm.numbers(low=-2, high=2, away_from=[0.0])


def element_wise(function, *rules):
    return primitive(function, *rules, name="broken"), ",".join(["()"] * len(rules))


def matrices(function, *rules):
    return primitive(function, *rules, name="broken"), "(m,n),(n,p)"


BROKEN = {
    "a sign": element_wise(np.cos, lambda g, _y, x: g * np.sin(x)),
    "a sign in the second argument": element_wise(
        lambda a, b: a - b, lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g
    ),
    "a factor": element_wise(np.square, lambda g, _y, x: g * x),
    "a factor of two too many": element_wise(lambda x: x * x, lambda g, _y, x: 4 * g * x),
    "the derivative at the output": element_wise(
        np.tanh, lambda g, y, _x: g * (1 - np.tanh(y) ** 2)
    ),
    "the mask on the gradient": element_wise(
        lambda x: np.maximum(x, 0), lambda g, _y, _x: np.maximum(g, 0)
    ),
    "arguments swapped": element_wise(
        lambda a, b: a * b, lambda g, _y, a, _b: g * a, lambda g, _y, _a, b: g * b
    ),
    "a missing transpose": matrices(
        np.matmul, lambda g, _y, _a, b: np.matmul(g, b.T), lambda g, _y, a, _b: np.matmul(a, g)
    ),
    "the other's transpose": matrices(
        np.matmul, lambda g, _y, _a, b: np.matmul(g, b), lambda g, _y, a, _b: np.matmul(a.T, g)
    ),
}
SIDE = {"()": 2, "(),()": 2, "(m,n),(n,p)": 3}


def disagrees(function, arrays):
    """Whether check_grads finds a wrong derivative (or the rule does not even fit)."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            check_grads(function, *arrays, order=1, modes=("rev",), elements=9)
        except (AssertionError, ValueError):
            return True
    return False


def smallest(function, signature):
    return find(
        fm.arrays_for(signature, elements=NEAR_ONE, max_dims=0 if "m" in signature else 2),
        lambda arrays: disagrees(function, arrays),
        settings=settings(derandomize=True, max_examples=300, deadline=None, database=None),
    )


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_rule_has_a_small_counterexample(kind):
    function, signature = BROKEN[kind]
    found = smallest(function, signature)
    assert all(side <= SIDE[signature] for array in found for side in array.shape), found


def test_a_wrong_axis_has_a_small_counterexample():
    function = primitive(
        lambda x: np.sum(x, axis=0),
        lambda g, _y, _x: np.broadcast_to(np.expand_dims(g, 1), _x.shape),
        name="broken",
    )
    (found,) = smallest(function, "(m,n)")
    assert max(found.shape) <= 3


def test_a_forgotten_unbroadcasting_has_a_small_counterexample():
    # a function that is no ufunc returns the exact shape: nobody sums for it
    function = primitive(
        lambda a, b: a + b, lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g, name="broken"
    )
    found = smallest(function, "(),()")
    assert all(side <= 2 for array in found for side in array.shape)
    assert found[0].shape != found[1].shape


def test_the_right_rules_have_none():
    right = tg.engine.registry[np.matmul]
    for arrays in ((np.ones((2, 3)), np.ones((3, 2))), (np.ones((1, 1)), np.ones((1, 1)))):
        assert not disagrees(right, arrays)
