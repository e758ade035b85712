"""The calculus of parts of matrices, and of further products: diagonals, triangles, kron, cross."""

from typing import Any

import numpy as np

from tinygrad_fm.engine import defvjp, rewrite, sum_to
from tinygrad_fm.rules.indexing import getitem, scatter_add

# diagonals and triangles


def _places(rows: int, columns: int, offset: int) -> tuple[Any, Any]:
    """The rows and the columns of the elements on a diagonal."""
    down, right = max(-offset, 0), max(offset, 0)
    count = np.arange(max(min(rows - down, columns - right), 0))
    return count + down, count + right


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    moved = np.moveaxis(a, (axis1, axis2), (-2, -1))
    return getitem(moved, Ellipsis, *_places(moved.shape[-2], moved.shape[-1], offset))


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


def _diag(v: Any, k: int = 0) -> Any:
    """A matrix's diagonal, or the matrix with this diagonal."""
    if v.ndim == 2:
        return np.diagonal(v, k)
    if v.ndim != 1:
        raise ValueError(f"diag takes one axis or two, not shape {v.shape}")
    n = v.shape[0] + abs(k)
    return scatter_add(v, *_places(n, n, k), shape=(n, n))


rewrite(np.diagonal, _diagonal)
rewrite(np.trace, _trace)
rewrite(np.diag, _diag)
rewrite(np.diagflat, lambda v, k=0: _diag(np.reshape(v, (-1,)), k))
rewrite(np.linalg.diagonal, lambda x, /, *, offset=0: np.diagonal(x, offset, -2, -1))
rewrite(
    np.linalg.trace, lambda x, /, *, offset=0, dtype=None: np.trace(x, offset, -2, -1, dtype=dtype)
)
defvjp(np.tril, lambda g, _y, _m, k=0: sum_to(np.tril(g, k), _m.shape))
defvjp(np.triu, lambda g, _y, _m, k=0: sum_to(np.triu(g, k), _m.shape))

# products


def _inner(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    return np.tensordot(a, b, axes=(-1, -1))


def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return np.sum(np.moveaxis(x1, axis, -1) * np.moveaxis(x2, axis, -1), axis=-1)


def _kron(a: Any, b: Any) -> Any:
    """Each element of a times the whole of b."""
    ndim = max(np.ndim(a), np.ndim(b))
    left, right = ((1,) * (ndim - np.ndim(x)) + np.shape(x) for x in (a, b))
    product = np.reshape(a, [k for n in left for k in (n, 1)]) * np.reshape(
        b, [k for n in right for k in (1, n)]
    )
    return np.reshape(product, [n * m for n, m in zip(left, right, strict=True)])


def _cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The cross product of vectors of three components."""
    if axis is not None:
        axisa = axisb = axisc = axis
    left, right = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if left.shape[-1:] != (3,) or right.shape[-1:] != (3,):
        raise ValueError(
            f"cross takes vectors of 3 components, not {np.shape(a)} and {np.shape(b)}; for two, "
            "write a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]"
        )
    (a_0, a_1, a_2), (b_0, b_1, b_2) = ([v[..., i] for i in range(3)] for v in (left, right))
    parts = [a_1 * b_2 - a_2 * b_1, a_2 * b_0 - a_0 * b_2, a_0 * b_1 - a_1 * b_0]
    return np.moveaxis(np.stack(parts, axis=-1), -1, axisc)


rewrite(np.inner, _inner)
rewrite(np.vdot, lambda a, b, /: np.dot(np.reshape(a, (-1,)), np.reshape(b, (-1,))))
rewrite(np.vecdot, _vecdot)
rewrite(np.linalg.vecdot, _vecdot)
if hasattr(np, "matvec"):  # since NumPy 2.2
    rewrite(np.matvec, lambda x1, x2, /: np.matmul(x1, np.expand_dims(x2, -1))[..., 0])
    rewrite(np.vecmat, lambda x1, x2, /: np.matmul(np.expand_dims(x1, -2), x2)[..., 0, :])
rewrite(np.kron, _kron)
rewrite(np.cross, _cross)
rewrite(np.linalg.cross, lambda x1, x2, /, *, axis=-1: np.cross(x1, x2, axis=axis))
rewrite(np.linalg.matmul, lambda x1, x2, /: np.matmul(x1, x2))
rewrite(np.linalg.outer, lambda x1, x2, /: np.outer(x1, x2))
rewrite(np.linalg.tensordot, lambda x1, x2, /, *, axes=2: np.tensordot(x1, x2, axes=axes))


def _multi_dot(arrays: Any) -> Any:
    """A chain of products, in the order that costs least (einsum's)."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    if len(arrays) >= len(letters):
        raise ValueError(f"multi_dot takes up to {len(letters) - 1} arrays, not {len(arrays)}")
    terms = [letters[i : i + 2] for i in range(len(arrays))]
    if np.ndim(arrays[0]) == 1:
        terms[0] = terms[0][1:]
    if np.ndim(arrays[-1]) == 1:
        terms[-1] = terms[-1][:1]
    ends = terms[0][: np.ndim(arrays[0]) - 1] + terms[-1][1:]
    return np.einsum(",".join(terms) + "->" + ends, *arrays)


def _matrix_power(a: Any, n: int) -> Any:
    """a @ a @ ... @ a, with as few products as squaring allows."""
    if n == 0:
        return np.zeros_like(a) + _identity_of(a)
    if n < 0:
        a, n = np.linalg.inv(a), -n
    power: Any = None
    while n:
        if n & 1:
            power = a if power is None else np.matmul(power, a)
        n >>= 1
        a = np.matmul(a, a) if n else a
    return power if power is not a else power[...]


rewrite(np.linalg.multi_dot, _multi_dot)
rewrite(np.linalg.matrix_power, _matrix_power)


def _identity_of(a: Any) -> Any:
    """Ones on the diagonal, in the shape of a matrix."""
    ones = np.ones_like(a)
    return np.tril(ones) * np.triu(ones)
