"""The calculus of inverses and determinants: inv, solve, pinv, det, slogdet, and what they make.

Where a matrix is singular, inv and solve raise LinAlgError as NumPy does; the determinant's
gradient is right there too, being made of cofactors.
"""

import math
from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, constant, defvjp, primitive, rewrite, sum_to
from tinygrad_fm.rules.linalg import product, turned
from tinygrad_fm.rules.reductions import identity, product_of_others

_each: Any = lambda number: number[..., None, None]  # a number for each matrix of a stack

defvjp(np.linalg.inv, lambda g, y, _a: -product(product(turned(y), g), turned(y)))


# solve, with b a stack of matrices; a vector is a matrix of one column
solve: Primitive = primitive(
    lambda a, b: np.linalg.solve(a, b),
    lambda g, y, a, _b: sum_to(-product(solve(turned(a), g), turned(y)), a.shape),
    lambda g, _y, a, _b: sum_to(solve(turned(a), g), _b.shape),
    name="solve",
)


def _solve(a: Any, b: Any) -> Any:
    if np.ndim(b) == 1:
        return solve(a, np.expand_dims(b, -1))[..., 0]
    return solve(a, b)


def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    if axes is not None:
        axes = tuple(i % a.ndim for i in axes)
        a = np.transpose(a, [i for i in range(a.ndim) if i not in axes] + list(axes))
    shape = np.shape(a)[np.ndim(b) :]
    return np.reshape(_solve(np.reshape(a, (np.size(b), -1)), np.reshape(b, (-1,))), shape)


def _tensorinv(a: Any, ind: int = 2) -> Any:
    rows = math.prod(a.shape[:ind])
    return np.reshape(np.linalg.inv(np.reshape(a, (rows, -1))), a.shape[ind:] + a.shape[:ind])


rewrite(np.linalg.solve, _solve)
rewrite(np.linalg.tensorsolve, _tensorsolve)
rewrite(np.linalg.tensorinv, _tensorinv)


# determinants


def _cofactors(a: Any) -> Any:
    """The gradient of the determinant, det(A) A^-T, of singular matrices too: from the SVD."""
    u, s, vh = np.linalg.svd(a)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return _each(sign) * product(u * np.expand_dims(product_of_others(s), -2), vh)


def _cofactors_rule(g: Any, y: Any, a: Any) -> Any:
    """(<g, C> C - C g^T C) / det(A)."""
    inner = _each(np.sum(g * y, axis=(-2, -1)))
    return (inner * y - product(product(y, turned(g)), y)) / _each(np.linalg.det(a))


cofactors: Primitive = primitive(_cofactors, _cofactors_rule, name="cofactors")
defvjp(np.linalg.det, lambda g, _y, a: _each(g) * cofactors(a))

# the sign is constant; a singular matrix, whose logarithm is -inf, has no gradient: LinAlgError
log_determinant = primitive(
    lambda a: np.linalg.slogdet(a)[1],
    lambda g, _y, a: _each(g) * turned(np.linalg.inv(a)),
    name="log_determinant",
)
determinant_sign = primitive(lambda a: np.linalg.slogdet(a)[0], name="determinant_sign")


def _slogdet(a: Any) -> Any:
    return _SLOGDET_RESULT(determinant_sign(a), log_determinant(a))


_SLOGDET_RESULT: Any = type(np.linalg.slogdet(np.ones((1, 1))))
rewrite(np.linalg.slogdet, _slogdet)


# the pseudo-inverse (Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973), where the rank is constant


def _pinv_rule(g: Any, y: Any, a: Any, rcond: Any = None) -> Any:
    y_t, g_t = turned(y), turned(g)
    left = identity(g, a.shape[-2]) - product(a, y)
    right = identity(g, a.shape[-1]) - product(y, a)
    return (
        product(product(left, g_t), product(y, y_t))
        + product(product(y_t, y), product(g_t, right))
        - product(product(y_t, g), y_t)
    )


pinv = primitive(
    lambda a, rcond=None: np.linalg.pinv(a) if rcond is None else np.linalg.pinv(a, rcond),
    _pinv_rule,
    name="pinv",
)
rewrite(np.linalg.pinv, lambda a, rcond=None: pinv(a) if rcond is None else pinv(a, rcond=rcond))


def _lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Solution, squared residuals (of full rank only), rank and singular values."""
    rows, columns = a.shape
    cut = np.finfo(a.dtype).eps * max(rows, columns) if rcond is None or rcond == -1 else rcond
    solution = np.matmul(pinv(a, rcond=float(cut)), b)
    singular = np.linalg.svdvals(a)
    rank = int(np.count_nonzero(singular > float(cut) * np.max(singular)).item())
    missed = b - np.matmul(a, solution)
    residuals = np.sum(np.square(missed), axis=0, keepdims=np.ndim(b) == 1)
    return solution, residuals if rank == columns < rows else residuals[:0], rank, singular


rewrite(np.linalg.lstsq, _lstsq)
constant(np.linalg.matrix_rank)
