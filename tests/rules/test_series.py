"""Series near removable singularities, to the last digits: finer than differences can see."""

import numpy as np
import pytest

import tinygrad_fm as tg

X = np.concatenate([np.linspace(0.02, 0.1999, 25), -np.linspace(0.02, 0.1999, 25)])


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(float).eps, reason="no wider floats on this machine"
)
def test_the_slope_of_sinc_is_right_to_rounding():
    wide = X.astype(np.longdouble)
    pi = np.longdouble("3.14159265358979323846264338327950288")
    exact = (np.cos(pi * wide) - np.sin(pi * wide) / (pi * wide)) / wide
    found = tg.grad(lambda x: np.sum(np.sinc(x)))(X)
    np.testing.assert_allclose(found, exact.astype(float), rtol=3e-15)
