"""Initial values: the spread of each, its seed, and the draws of NumPy's old generator."""

import inspect
import math

import numpy as np
import pytest

from tinygrad_fm import nn
from tinygrad_fm.nn import init

SHAPE = (300, 200)
# the standard deviation that each is to have
SPREAD = {
    "normal": 0.01,
    "uniform": 0.05 / math.sqrt(3),
    "he_normal": math.sqrt(2 / 300),
    "he_uniform": math.sqrt(2 / 300),
    "xavier_normal": math.sqrt(2 / 500),
    "xavier_uniform": math.sqrt(2 / 500),
    "orthogonal": math.sqrt(1 / 300),
    "zeros": 0.0,
}


def test_every_initialiser_has_a_case():
    takes_a_shape = {
        name
        for name, found in vars(init).items()
        if inspect.isfunction(found)
        and {"shape", "rng"} <= set(inspect.signature(found).parameters)
    }
    assert takes_a_shape == set(SPREAD)


@pytest.mark.parametrize("name", SPREAD)
def test_spread_dtype_and_seed(name):
    make = getattr(init, name)
    values = make(SHAPE, 0)
    np.testing.assert_allclose(values.std(), SPREAD[name], rtol=0.02, atol=1e-12)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, make(SHAPE, np.random.default_rng(0)))
    assert name == "zeros" or not np.array_equal(values, make(SHAPE, 1))
    assert make((8, 3, 5, 5), 0).shape == (8, 3, 5, 5)


def test_kernels_count_their_inputs_by_channels_and_field():
    np.testing.assert_allclose(
        init.he_normal((500, 8, 3, 3), 0).std(), math.sqrt(2 / 72), rtol=0.02
    )


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3)])
def test_orthogonal_is_orthogonal(shape):
    w = init.orthogonal(shape, 0, gain=2.0, dtype=np.float64).reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_legacy_mode_draws_what_the_old_programs_drew():
    np.random.seed(7)  # noqa: NPY002
    expected = [np.random.randn(4, 3) * 0.01, np.random.randn(3, 2) * 0.01]  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    layers = [
        nn.Linear(*shape, rng=init.legacy(), weight_init=init.normal, dtype=np.float64)
        for shape in ((4, 3), (3, 2))
    ]
    for layer, weight in zip(layers, expected, strict=True):
        np.testing.assert_array_equal(layer.weight.data, weight)
