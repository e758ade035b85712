"""A shape error says which operation and module it was, and where each operand came from."""

import traceback

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import functional, nn


def leaf(*shape, name=None):
    return tg.Tensor(np.ones(shape, np.float32), requires_grad=True, name=name)


class Scaled(nn.Module):
    def __init__(self):
        self.first = nn.Linear(2, 3, rng=0)
        self.scale = nn.Parameter(np.ones((7, 3), np.float32))
        self.second = nn.Linear(4, 1, rng=0)

    def forward(self, x):
        h = self.first(x)  # the hidden layer
        return h * self.scale if len(x) == 5 else self.second(h)


def told(function, kind=ValueError):
    """What a person reads: the error with its notes."""
    with pytest.raises(kind) as caught:
        function()
    return "".join(traceback.format_exception_only(caught.value))


def test_the_line_that_made_an_operand_is_quoted():
    y = np.tanh(leaf(3, 4))  # this line

    text = told(lambda: y + np.ones((3, 5)))
    assert "argument 0: (3, 4)  made by tanh at " in text
    assert "y = np.tanh(leaf(3, 4))  # this line" in text
    assert "argument 1: (3, 5)  an array" in text


def test_a_leaf_is_called_by_its_name():
    assert "argument 0: (3, 4)  the leaf 'w'" in told(lambda: leaf(3, 4, name="w") @ np.ones(3))
    assert "argument 0: (3, 4)  a leaf without a name" in told(lambda: leaf(3, 4) @ np.ones(3))


def test_a_parameter_is_called_by_its_path_in_the_model():
    text = told(lambda: Scaled()(np.ones((5, 2), np.float32)))
    assert "multiply: operands could not be broadcast" in text
    assert "argument 0: (5, 3)  made by linear at " in text
    assert "h = self.first(x)  # the hidden layer" in text
    assert "argument 1: (7, 3)  the leaf 'scale'" in text
    assert "in module Scaled\n" in text


def test_a_tensor_that_is_not_recorded_is_said_to_be_none():
    x = tg.Tensor(np.ones((5, 2)), name="x")
    text = told(lambda: (x * 2) @ leaf(3, 4))
    assert "argument 0: (5, 2)  a Tensor, not recorded" in text
    assert "argument 0: (5, 2)  the Tensor 'x', not recorded" in told(lambda: x @ leaf(3, 4))


def test_shapes_are_aligned_on_the_right():
    lines = told(lambda: leaf(10, 2) @ leaf(5)).splitlines()
    assert lines[1].startswith("    argument 0: (10, 2)  a leaf")
    assert lines[2].startswith("    argument 1:    (5,)  a leaf")


def test_a_layers_own_error_tells_path_and_source_of_its_input():
    text = told(lambda: Scaled()(np.ones((6, 2), np.float32)))
    assert "Linear(4, 1) got x of shape (6, 3); its last axis must be 4" in text
    assert "argument 0: (6, 3)  made by linear at " in text
    assert text.count("in module Scaled > second (Linear)") == 1


def test_the_linear_operation_speaks_of_its_product():
    text = told(lambda: functional.linear(leaf(5, 3), leaf(4, 3), np.ones(4, np.float32)))
    assert "linear: (5, 3) @ (4, 3): the last axis of the left (3)" in text
    assert "perhaps the right one is to be transposed: .T" in text


def test_a_bias_that_does_not_fit_is_no_matter_of_the_product():
    text = told(lambda: functional.linear(leaf(5, 3), leaf(3, 4), leaf(7, name="b")))
    assert "@" not in text.splitlines()[0]
    assert "argument 2:   (7,)  the leaf 'b'" in text


def test_an_index_error_names_what_was_indexed():
    assert "argument 0: (3, 4)  the leaf 'w'" in told(lambda: leaf(3, 4, name="w")[7], IndexError)


def test_positions_are_those_of_the_call():
    text = told(lambda: np.where(np.ones((2, 2)), 1.0, leaf(3)))
    assert "argument 0: (2, 2)  an array" in text
    assert "argument 2:   (3,)  a leaf" in text


def test_errors_of_the_user_keep_their_words():
    class Picky(nn.Module):
        def forward(self, x):
            raise ValueError("I do not like it")

    text = told(lambda: nn.Sequential(Picky())(leaf(2, 3)))
    assert text.startswith("ValueError: I do not like it\n")
    assert "in module Sequential > 0 (Picky)" in text
