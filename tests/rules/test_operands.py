"""What stands beside a Tensor: lists, tuples, ranges, small integers, numbers of NumPy's.

Values and dtypes are NumPy's; gradients are those beside an array of float64.
"""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor

X = np.array([0.5, 1.5, 2.0, 1000.0])

FUNCTIONS = {
    "power": np.power,
    "exponent": lambda x, k: np.power(k, x / 1000),
    "divide": np.divide,
    "hypot": np.hypot,
    "dot": np.dot,
    "matmul": lambda x, k: np.linalg.matmul(k, x),
    "einsum": lambda x, k: np.einsum("i,i", k, x),
    "einsum of axes": lambda x, k: np.einsum(k, [0], x, [0], [0]),
    "multi_dot": lambda x, k: np.linalg.multi_dot([k, np.reshape(x, (4, 1))]),
    "average": lambda x, k: np.average(x, weights=k),
    "choose": lambda x, k: np.choose([0, 1, 1, 0], [x, k]),
    "insert": lambda x, k: np.insert(x, 1, k),
}
BESIDE = {
    "list": [0, 1, 2, 3],
    "tuple": (0, 1, 2, 3),
    "range": range(4),
    "int8": np.array([0, 1, 2, 3], np.int8),
    "uint8": np.array([0, 1, 2, 3], np.uint8),
}


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@np.errstate(divide="ignore")
def test_an_operand_of_another_kind_changes_no_gradient(function, beside):
    numbers = np.array(beside, np.float64)
    found = tg.grad(lambda x: np.sum(function(x, beside)))(X)
    expected = tg.grad(lambda x: np.sum(function(x, numbers)))(X)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


KEPT = {
    "insert": lambda x: np.insert(x, 1, [5, 6]),
    "insert a number": lambda x: np.insert(x, 2, 7.0),
    "average by small weights": lambda x: np.average(x, weights=BESIDE["int8"]),
    "nan_to_num": lambda x: np.nan_to_num(x, nan=np.float64(2)),
    "order of a norm": lambda x: np.linalg.norm(x, np.int64(3)),
    "an empty list of places": lambda x: x[[]],
    "variance of too few": lambda x: np.nanvar(x, ddof=5),
}


@pytest.mark.parametrize("function", KEPT.values(), ids=KEPT)
@pytest.mark.filterwarnings("ignore:Degrees of freedom")
def test_float32_stays_and_the_values_are_numpys(function):
    x = np.array([0.5, np.nan, 2.0, 3.0], np.float32)
    found, expected = function(Tensor(x, requires_grad=True)), function(x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.data, expected, rtol=1e-6)
