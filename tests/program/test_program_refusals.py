"""What a program could not repeat is refused where it stands, and never kept as it was."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm.program import TraceError


@pytest.mark.parametrize(
    "look",
    [
        lambda x: np.array_equal(x, np.ones(3)),
        lambda x: np.allclose(x, 1),
        lambda x: x[np.nonzero(x)],
        lambda x: np.unique(x),
        lambda x: np.histogram(x)[0],
        lambda x: np.real(np.fft.fft(x)),
        lambda x: np.add.reduce(x),
        lambda x: np.add.at(x * 1, 0, 5.0),
        lambda x: np.add(x, 1, out=x * 1, where=x > 0),
    ],
)
def test_functions_that_no_rule_describes_are_refused(look):
    with pytest.raises(TraceError, match=r"np\.\w.* in a compiled step"):
        tg.compile(look)(np.ones(3))


def test_they_are_allowed_on_what_does_not_depend_on_the_arguments():
    table = tg.Tensor([3.0, 1.0, 3.0])
    step = tg.compile(lambda x: x * np.add.reduce([2.0, 3.0]) * np.unique(np.ones(3)))
    for _ in range(3):
        np.testing.assert_array_equal(step(table).data, [15.0, 5.0, 15.0])


def test_questions_about_shapes_are_allowed():
    def step(x):
        return np.tril(x)[np.tril_indices_from(x)] * np.ndim(x) * np.size(x, 0)

    compiled = tg.compile(step)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(np.ones((2, 2))).data, [4.0, 4.0, 4.0])


@pytest.mark.parametrize("step", [lambda x: np.sum(x[x > 0]), lambda x: x[np.sum(x, axis=0) > 0]])
def test_a_mask_that_the_numbers_make_is_refused(step):
    with pytest.raises(TraceError, match=r"np\.where\(mask, x, 0\)"):
        tg.compile(step)(np.ones((3, 3)))


def test_a_mask_from_outside_is_taken():
    mask = np.array([True, False, True])
    step = tg.compile(lambda x: np.sum(x[mask]))
    assert [step(np.array([i, 5.0, 1.0])).item() for i in range(4)] == [1.0, 2.0, 3.0, 4.0]


def test_a_function_of_ones_own_that_returns_another_shape_is_refused():
    positive = tg.primitive(lambda x: x[x > 0], name="positive")
    step = tg.compile(lambda x: np.sum(positive(x) * 2.0))
    for _ in range(3):
        assert step(np.array([1.0, 2.0, 3.0, -1.0])).item() == 12.0
    with pytest.raises(ValueError, match=r"positive returned an array of shape \(1,\), and \(3,\)"):
        step(np.array([5.0, -2.0, -3.0, -1.0]))
