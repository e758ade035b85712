"""`import tinygrad_fm.numpy as np`: NumPy, whose creation functions give Tensors in a trace."""

import copy
import itertools
import pickle
import subprocess
import sys

import numpy
import pytest

import tinygrad_fm as tg
import tinygrad_fm.numpy as np
from tinygrad_fm import Tensor, nn, testing
from tinygrad_fm.numpy.creation import CREATION

X = numpy.array([0.7, -0.4, 1.3])

CREATIONS = {
    "arange": lambda np: np.arange(3.0),
    "array": lambda np: np.array([[1.0, 2.0]], dtype=np.float32),
    "asanyarray": lambda np: np.asanyarray([1.0]),
    "asarray": lambda np: np.asarray((1.0, 2)),
    "asarray_chkfinite": lambda np: np.asarray_chkfinite([1.0]),
    "ascontiguousarray": lambda np: np.ascontiguousarray(1.0),
    "asfortranarray": lambda np: np.asfortranarray([[1.0, 2.0]]),
    "bartlett": lambda np: np.bartlett(4),
    "blackman": lambda np: np.blackman(4),
    "copy": lambda np: np.copy(X),
    "empty": lambda np: np.empty((2, 0)),
    "empty_like": lambda np: np.empty_like(X[:0]),
    "eye": lambda np: np.eye(2, 3, k=1),
    "fromfunction": lambda np: np.fromfunction(lambda i, j: i + 2 * j, (2, 3)),
    "fromiter": lambda np: np.fromiter(itertools.count(), float, 3),
    "full": lambda np: np.full((2, 2), 0.5),
    "full_like": lambda np: np.full_like(X, 2),
    "geomspace": lambda np: np.geomspace(1, 4, 3),
    "hamming": lambda np: np.hamming(4),
    "hanning": lambda np: np.hanning(4),
    "identity": lambda np: np.identity(2, dtype=np.float32),
    "kaiser": lambda np: np.kaiser(4, 2.0),
    "linspace": lambda np: np.linspace(0, 1, 5, endpoint=False),
    "logspace": lambda np: np.logspace(0, 1, 3),
    "meshgrid": lambda np: np.meshgrid([1.0, 2.0], [3.0]),
    "ones": lambda np: np.ones((2,)),
    "ones_like": lambda np: np.ones_like(X),
    "require": lambda np: np.require([1.0], requirements="W"),
    "tri": lambda np: np.tri(3),
    "vander": lambda np: np.vander(X, 2),
    "zeros": lambda np: np.zeros(3, order="F"),
    "zeros_like": lambda np: np.zeros_like([1.0]),
}
each_creation = pytest.mark.parametrize("name", sorted(CREATION))


def parts(value):
    return value if isinstance(value, (list, tuple)) else [value]


@each_creation
def test_a_creation_function_gives_plain_arrays_where_nothing_is_traced(name):
    for found, expected in zip(parts(CREATIONS[name](np)), parts(CREATIONS[name](numpy)), strict=1):
        assert type(found) is numpy.ndarray
        numpy.testing.assert_array_equal(found, expected)


@each_creation
def test_a_creation_function_gives_tensors_of_the_same_in_a_trace(name):
    with np.tracing():
        values = parts(CREATIONS[name](np))
    for found, expected in zip(values, parts(CREATIONS[name](numpy)), strict=True):
        assert type(found) is Tensor
        assert found.dtype == expected.dtype
        assert found.node is None
        numpy.testing.assert_array_equal(found.data, expected)


def test_integers_and_booleans_are_plain_arrays_in_a_trace_too():
    with np.tracing():
        for made in (np.arange(3), np.zeros(2, dtype=int), np.array([True]), np.array(["a"])):
            assert type(made) is numpy.ndarray


def test_a_trace_is_a_transform_a_module_or_a_block_and_ends():
    seen = []

    class Fills(nn.Module):
        def forward(self, x):
            y = np.zeros(len(x))
            for i in range(len(x)):
                y[i] = x[i] ** 2
            return y

    tg.grad(lambda x: seen.append(type(np.zeros(1))) or x)(1.0)
    tg.jvp(lambda x: seen.append(type(np.zeros(1))) or x, (1.0,), (1.0,))
    with pytest.raises(ZeroDivisionError):
        tg.grad(lambda x: 1 / 0)(1.0)
    seen.append(type(np.zeros(1)))
    assert seen == [Tensor, Tensor, numpy.ndarray]
    x = Tensor(X, requires_grad=True)
    Fills()(x).sum().backward()
    numpy.testing.assert_allclose(x.grad.data, 2 * X)


# ---- lists that hold Tensors, and Tensors where NumPy would convert them -------------------------

JOINED = {
    "array": lambda x: np.array([x[0] * 2, x[1], 3.0]),
    "nested": lambda x: np.array([[x[0], x[1]], (x[2], 1.0)], dtype=float),
    "rows": lambda x: np.array([x, 2 * x]),
    "a Tensor": lambda x: np.array(x, ndmin=2) * np.asarray(x) * np.copy(x),
    "fromiter": lambda x: np.fromiter((v * v for v in x), float, 2),
    "full": lambda x: np.full((2, 3), x) * np.full(3, x[0]) * np.full_like(np.ones(3), x[1]),
    "linspace": lambda x: np.linspace(x[0], x[1], 4) * np.linspace(0.0, [x[0], 2], 4, axis=1)[0],
    "step": lambda x: np.linspace(x, 2.0, 3, endpoint=False, retstep=True)[1],
    "sum": lambda x: np.sum([x[0], x[1] * x[2]]),
    "mean": lambda x: np.mean([[x[0], x[1]], [x[2], 4.0]], axis=0),
    "max": lambda x: np.max([x[0], x[1]]) + np.prod([x[1], x[2]]),
    "ufunc": lambda x: np.exp([x[0], x[1]]),
    "maximum": lambda x: np.maximum([x[0], 0.5, x[1]], x),
    "operator": lambda x: [x[0], x[1], 2.0] * x,
    "concatenate": lambda x: np.concatenate([[x[0], x[1]], x, [1.0]]),
    "stack": lambda x: np.stack([[x[0], x[1]], x[:2]], axis=1),
    "keyword": lambda x: np.sum(a=[x[0], x[1]], axis=0),
    "einsum": lambda x: np.einsum("i,i->", [x[0], x[1]], x[1:]),
    "columns": lambda x: np.c_[x, np.ones(3)] @ np.r_[x[0], [x[1]]],
    "rows_": lambda x: np.r_[x, 1.0, 0:2, x[0]],
}


@pytest.mark.parametrize("name", JOINED)
def test_lists_that_hold_tensors_are_joined_and_differentiated(name):
    assert testing.check_grads(JOINED[name], X).checked


def test_tensors_give_tensors_where_nothing_is_traced():
    t = Tensor(X, requires_grad=True)
    for made in (np.array([t, t]), np.zeros_like(t), np.sum([t[0], t[1]]), np.asarray(t)):
        assert isinstance(made, Tensor)
    assert np.asarray(t) is t
    assert type(np.array([[1, 2]])) is numpy.ndarray
    np.array([t[0], 1.0]).sum().backward()
    numpy.testing.assert_array_equal(t.grad.data, [1.0, 0.0, 0.0])


def test_a_list_that_is_not_rectangular_is_refused():
    t = Tensor(X, requires_grad=True)
    with pytest.raises(ValueError, match="one shape"):
        np.array([[t[0]], [t[0], t[1]]])
    with pytest.raises(TypeError, match="cannot hold Tensors"):
        np.array([t[0]], dtype=object)
    with pytest.raises(TypeError, match="no directive"):
        np.r_["0,2", t]


# ---- everything else is NumPy's ----------------------------------------------------------------


def test_every_public_name_of_numpy_is_there():
    names = [name for name in dir(numpy) if not name.startswith("_")]
    assert [name for name in names if not hasattr(np, name)] == []
    assert set(names) <= set(dir(np))
    assert set(numpy.linalg.__all__) <= set(dir(np.linalg))
    for name in ("pi", "newaxis", "float32", "random", "errstate", "int64", "dtype", "s_"):
        assert getattr(np, name) is getattr(numpy, name)
    assert np.linalg.LinAlgError is numpy.linalg.LinAlgError
    with pytest.raises(AttributeError, match="zeroes"):
        np.zeroes  # noqa: B018


def test_functions_stand_for_numpys_own():
    assert isinstance(np.exp, np.ufunc)
    assert np.exp == numpy.exp
    assert np.add.reduce([1, 2]) == 3
    assert np.maximum.identity is None
    assert np.sum.__name__ == "sum"
    assert np.zeros.__doc__ == numpy.zeros.__doc__
    for function in (np.exp, np.sum, np.zeros):
        assert pickle.loads(pickle.dumps(function)) is function
        assert copy.deepcopy(function) == function
    assert repr(np.exp) == repr(numpy.exp)
    swapped = tg.custom_vjp(np.round, backward=lambda g, y, x: g)
    assert tg.grad(swapped)(1.4) == 1.0


def test_a_rule_may_be_given_to_a_function_of_the_drop_in():
    program = """
import numpy, tinygrad_fm as tg, tinygrad_fm.numpy as np
tg.defvjp(np.spacing, lambda g, y, x: g * 3)
print(tg.grad(np.spacing)(1.0), tg.grad(numpy.spacing)(1.0), tg.grad(tg.spacing)(1.0))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["3.0", "3.0", "3.0"], done.stderr


def test_a_tensor_is_an_instance_of_ndarray():
    t = Tensor(X)
    assert isinstance(t, np.ndarray)
    assert isinstance(X, np.ndarray)
    assert not isinstance([1.0], np.ndarray)
    assert issubclass(Tensor, np.ndarray)
    assert type(np.ndarray((2,))) is numpy.ndarray

    class Mine(np.ndarray):
        pass

    assert not isinstance(X, Mine)
    assert isinstance(X.view(Mine), np.ndarray)


def test_numpys_own_module_is_left_alone():
    assert type(numpy.zeros) is not type(np.zeros)
    with np.tracing():
        assert type(numpy.zeros(2)) is numpy.ndarray


# ---- tg.f --------------------------------------------------------------------------------------


def test_numpys_functions_are_there_under_the_librarys_name():
    t = Tensor(X, requires_grad=True)
    assert tg.sum(t).item() == pytest.approx(X.sum())
    tg.sum(tg.exp(t) * tg.ones(3)).backward()
    numpy.testing.assert_allclose(t.grad.data, numpy.exp(X))
    assert type(tg.zeros((2, 3))) is Tensor
    assert type(tg.arange(3)) is Tensor
    assert tg.fft.fft is np.fft.fft
    assert tg.maximum([t[0], 2.0], 1.0).requires_grad


def test_the_librarys_own_names_are_not_hidden():
    assert tg.grad is tg.transforms.grad
    assert tg.data.__name__ == "tinygrad_fm.data"
    assert tg.testing.__name__ == "tinygrad_fm.testing"


def test_what_is_offered_for_completion_is_there_and_nothing_that_is_imported():
    offered = [name for name in dir(tg) if not name.startswith("_")]
    assert {"Tensor", "nn", "draw", "explain", "sum", "zeros", "linalg"} <= {*offered}
    assert not {"importlib", "Any", "TYPE_CHECKING", "engine"} & {*offered}
    assert all(hasattr(tg, name) for name in offered)


@pytest.mark.parametrize(
    ("wrong", "right"), [("gard", "grad"), ("zeross", "zeros"), ("tahn", "tanh")]
)
def test_a_misspelled_name_is_answered_with_near_ones(wrong, right):
    with pytest.raises(AttributeError, match=f"no attribute {wrong!r}; did you mean .*{right}"):
        getattr(tg, wrong)
    with pytest.raises(AttributeError, match=r"no attribute 'float32'"):
        tg.float32  # noqa: B018
