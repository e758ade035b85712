"""The protocol-only array: what stays inside NumPy's dispatch works, what slips out is refused."""

import math

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor
from tinygrad_fm.testing import ProtocolArray

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def test_it_is_no_ndarray():
    x = ProtocolArray(X)
    assert not isinstance(x, np.ndarray)
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 3), 2, 6, np.float64, 2)
    assert x.numpy() is X
    assert ProtocolArray(x).numpy() is X


def test_functions_operators_and_indexing_give_its_kind():
    x = ProtocolArray(X)
    results = [np.tanh(x), x + 1, 2.0 * x, x @ x.reshape(3, 2), -x, x > 2, np.sum(x), x[0], x[0, 0]]
    results += [
        np.concatenate([x, x]),
        x.astype(np.float32),
        np.zeros_like(x),
        np.where(x > 2, x, 0),
    ]
    results += np.split(x, 3, axis=1)
    assert {type(r) for r in results} == {ProtocolArray}
    np.testing.assert_array_equal((x * 2 + x).numpy(), X * 3)
    assert np.sum(x).item() == 21.0
    assert np.shape(x) == (2, 3)
    assert "ProtocolArray(array([[1., 2., 3.]" in repr(x)


def test_assignment_and_add_at():
    x = ProtocolArray(X.copy())
    x[0, np.array([0, 1])] = ProtocolArray([7.0, 8.0])
    x[ProtocolArray(X) > 5] = 0.0
    np.add.at(x, (np.array([1, 1]), np.array([0, 0])), ProtocolArray([1.0, 2.0]))
    x += 1
    np.testing.assert_array_equal(x.numpy(), [[8, 9, 4], [8, 6, 1]])


@pytest.mark.parametrize(
    "slip",
    [
        np.asarray,
        lambda x: np.array([x, x]),
        lambda x: x + np.zeros(3),
        lambda x: np.multiply(np.ones((2, 3)), x),
        lambda x: np.concatenate([x, np.zeros((2, 3))]),
        lambda x: np.add.reduce(x),
        lambda x: x.__setitem__(0, np.zeros(3)),
        lambda x: np.zeros((2, 3)).__setitem__(0, x),
        lambda x: math.exp(x[0, 0]),
        lambda x: float(x[0, 0]),
    ],
)
def test_what_leaves_the_dispatch_is_an_error(slip):
    with pytest.raises((TypeError, ValueError)):
        slip(ProtocolArray(X))


def test_the_error_says_what_to_write():
    with pytest.raises(TypeError, match=r"np.add got a plain ndarray of shape \(3,\).*zeros_like"):
        ProtocolArray(X) + np.zeros(3)
    with pytest.raises(TypeError, match=r"shape \(2, 3\) was converted to an ndarray"):
        np.asarray(ProtocolArray(X))


def test_a_tensor_holds_one():
    x = Tensor(ProtocolArray(X), requires_grad=True)
    y = np.sum(np.tanh(x) * x[:, ::-1])
    y.backward(retain_graph=True)
    y.backward()  # adds to the gradient
    plain = Tensor(X, requires_grad=True)
    (np.sum(np.tanh(plain) * plain[:, ::-1]) * 2).backward()
    np.testing.assert_array_equal(x.grad.data.numpy(), plain.grad.data)


def test_a_tensor_beside_one_answers():
    x = Tensor(ProtocolArray(X), requires_grad=True)
    for y in (ProtocolArray(X) * x, x * ProtocolArray(X), np.hypot(ProtocolArray(X), x)):
        assert isinstance(y, Tensor)
        assert y.requires_grad


def test_transforms_take_them():
    f = lambda x: np.sum(np.exp(x) * x)
    x = ProtocolArray(X)
    np.testing.assert_array_equal(tg.grad(f)(x).numpy(), tg.grad(f)(X))
    _, pull = tg.vjp(np.tanh, x)
    np.testing.assert_array_equal(pull(x)[0].numpy(), tg.vjp(np.tanh, X)[1](X)[0])
    np.testing.assert_array_equal(tg.hvp(f, x, x).numpy(), tg.hvp(f, X, X))
