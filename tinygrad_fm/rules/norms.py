"""The calculus of norms of vectors and matrices.

Kinks: a 2-norm has gradient 0 at the zero vector, as every norm here has at elements that are 0
(PyTorch's convention); the largest and smallest elements split ties evenly.
"""

import math
from typing import Any

import numpy as np

from tinygrad_fm.engine import primitive, rewrite
from tinygrad_fm.rules.reductions import Axis, kept


def _length_rule(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """x / y, the direction; 0 where the length is 0."""
    return kept(g, x, axis, keepdims) * (x / kept(np.where(y == 0, 1, y), x, axis, keepdims))


# the root of the sum of squares: of vectors the 2-norm, of matrices the Frobenius norm
length = primitive(
    lambda x, axis=None, keepdims=False: np.linalg.norm(x, axis=axis, keepdims=keepdims),
    _length_rule,
    name="norm",
)


def _power_norm_rule(
    g: Any, y: Any, x: Any, ord: float = 2, axis: Axis = None, keepdims: bool = False
) -> Any:
    """sign(x) (|x| / y)**(p - 1), which neither overflows nor divides by 0."""
    share = np.abs(x) / kept(np.where(y == 0, 1, y), x, axis, keepdims)
    power = np.power(np.where(x == 0, 1, share), ord - 1)
    return kept(g, x, axis, keepdims) * np.sign(x) * power


power_norm = primitive(
    lambda x, ord=2, axis=None, keepdims=False: np.linalg.norm(x, ord, axis, keepdims),
    _power_norm_rule,
    name="power_norm",
)


def _vector_norm(x: Any, ord: Any, axis: Any, keepdims: bool) -> Any:
    ord = ord.item() if isinstance(ord, np.generic) else ord
    if ord is None or ord == 2:
        return length(x, axis=axis, keepdims=keepdims)
    if ord == math.inf:
        return np.max(np.abs(x), axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return np.min(np.abs(x), axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(x != 0, axis=axis, keepdims=keepdims, dtype=x.dtype)
    if not isinstance(ord, (int, float)):
        raise ValueError(
            f"the order of a vector's norm is a number, None, inf or -inf, not {ord!r}"
        )
    return power_norm(x, ord=ord, axis=axis, keepdims=keepdims)


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, int], keepdims: bool) -> Any:
    rows, columns = (i % x.ndim for i in axes)
    if rows == columns:
        raise ValueError(f"a matrix norm takes two different axes, not {axes}")
    if ord in (None, "fro", "f"):
        return length(x, axis=(rows, columns), keepdims=keepdims)
    extreme = np.max if ord in (1, 2, math.inf) else np.min
    if ord in (1, -1, math.inf, -math.inf):
        summed, rest = (rows, columns) if abs(ord) == 1 else (columns, rows)
        found = extreme(
            np.sum(np.abs(x), axis=summed, keepdims=True), axis=(summed, rest), keepdims=True
        )
    elif ord in (2, -2, "nuc"):
        singular = np.linalg.svdvals(np.moveaxis(x, (rows, columns), (-2, -1)))
        found = (np.sum if ord == "nuc" else extreme)(singular, axis=-1)
        found = np.expand_dims(found, tuple(sorted((rows, columns))))
    else:
        raise ValueError(
            f"the order of a matrix norm is 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {ord!r}"
        )
    return found if keepdims else np.squeeze(found, axis=(rows, columns))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    if axis is None:
        if ord is None:
            return length(x, axis=None, keepdims=keepdims)
        if x.ndim not in (1, 2):
            raise ValueError(f"norm with ord={ord!r} takes axis=... for an array of {x.shape}")
        axis = tuple(range(x.ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"norm takes one axis for vectors or two for matrices, not {axis}")


def _norm_of_vectors(x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """np.linalg.vector_norm: several axes are seen as one."""
    axes = tuple(range(x.ndim)) if axis is None else axis
    return _vector_norm(x, ord, axes, keepdims) if _plain(ord) else _joined(x, ord, axes, keepdims)


def _plain(ord: Any) -> bool:
    """Whether the norm is a reduction that takes several axes."""
    return ord in (0, 1, math.inf, -math.inf)


def _joined(x: Any, ord: Any, axes: Any, keepdims: bool) -> Any:
    """The norm along axes that are joined to one."""
    axes = tuple(sorted(i % x.ndim for i in (axes if isinstance(axes, tuple) else (axes,))))
    free = [i for i in range(x.ndim) if i not in axes]
    rows = np.reshape(
        np.transpose(x, [*free, *axes]),
        [*(x.shape[i] for i in free), math.prod(x.shape[i] for i in axes)],
    )
    found = _vector_norm(rows, ord, -1, False)
    return np.expand_dims(found, axes) if keepdims else found


def _cond(x: Any, p: Any = None) -> Any:
    """The condition number: the norm times the norm of the inverse."""
    if p in (None, 2, -2):
        singular = np.linalg.svdvals(x)
        ends = singular[..., 0], singular[..., -1]
        return ends[1] / ends[0] if p == -2 else ends[0] / ends[1]
    return np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, axis=(-2, -1))


rewrite(np.linalg.norm, _norm)
rewrite(np.linalg.vector_norm, _norm_of_vectors)
rewrite(
    np.linalg.matrix_norm,
    lambda x, /, *, keepdims=False, ord="fro": _matrix_norm(x, ord, (-2, -1), keepdims),
)
rewrite(np.linalg.cond, _cond)
