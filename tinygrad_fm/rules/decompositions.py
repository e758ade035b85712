"""The calculus of decompositions: Cholesky, eigenvalues of symmetric matrices, SVD, QR.

Of a symmetric matrix NumPy reads one triangle; the gradient is nevertheless the symmetric one, as
in PyTorch, so that a step along it leaves the matrix symmetric. Eigenvectors and singular vectors
have derivatives where the values are distinct; where they are not, a gradient of the vectors is
infinite, and one of the values alone is right.

The formulas are Giles's (An extended collection of matrix derivative results, 2008) and, for the
SVD, Townsend's (Differentiating the singular value decomposition, 2016).
"""

from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, primitive, rewrite
from tinygrad_fm.rules.linalg import product, turned
from tinygrad_fm.rules.reductions import identity
from tinygrad_fm.rules.solving import solve

_symmetric: Any = lambda m: (m + turned(m)) / 2


def _without_diagonal(m: Any) -> Any:
    return np.where(identity(m, m.shape[-1]), 0, m)


# A = L L^T


def _half_lower(m: Any) -> Any:
    """The lower triangle, with half the diagonal."""
    return np.tril(m, -1) + (np.tril(m) - np.tril(m, -1)) / 2


def _cholesky_rule(g: Any, y: Any, _a: Any) -> Any:
    """L^-T P(L^T g) L^-1 made symmetric, where P halves the diagonal of the lower triangle."""
    transposed = turned(y)
    inner = solve(transposed, _half_lower(product(transposed, g)))
    return _symmetric(turned(solve(transposed, turned(inner))))


cholesky: Primitive = primitive(lambda a: np.linalg.cholesky(a), _cholesky_rule, name="cholesky")


def _cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return turned(cholesky(turned(a))) if upper else cholesky(a)


rewrite(np.linalg.cholesky, _cholesky)

# A = V diag(w) V^T


def _over(m: Any, gaps: Any) -> Any:
    """m / gaps, and 0 at 0 / 0: equal values do no harm where nobody asks for their vectors."""
    return m / np.where((gaps == 0) & (m == 0), 1, gaps)


def _eigh_rule(g: Any, y: Any, _a: Any, UPLO: str = "L") -> Any:
    (g_values, g_vectors), (values, vectors) = g, y
    gaps = np.expand_dims(values, -2) - np.expand_dims(values, -1)
    turning = _over(_without_diagonal(product(turned(vectors), g_vectors)), gaps)
    stretching = identity(turning, turning.shape[-1]) * np.expand_dims(g_values, -2)
    inner = product(product(vectors, turning + stretching), turned(vectors))
    return _symmetric(inner)


eigh: Primitive = primitive(
    lambda a, UPLO="L": np.linalg.eigh(a, UPLO), _eigh_rule, multiple=True, name="eigh"
)
_EIGH_RESULT: Any = type(np.linalg.eigh(np.ones((1, 1))))
rewrite(np.linalg.eigh, lambda a, UPLO="L": _EIGH_RESULT(*eigh(a, UPLO=UPLO)))
rewrite(np.linalg.eigvalsh, lambda a, UPLO="L": eigh(a, UPLO=UPLO)[0])

# A = U diag(s) V^T


def _svd_rule(g: Any, y: Any, _a: Any) -> Any:
    (g_u, g_s, g_vh), (u, s, vh) = g, y
    g_v, v = turned(g_vh), turned(vh)
    columns, rows = np.expand_dims(s, -2), np.expand_dims(s, -1)
    gaps = (columns - rows) * (columns + rows)
    from_u = _skew_over(product(turned(u), g_u), gaps) * columns
    from_v = _skew_over(product(vh, g_v), gaps) * rows
    stretching = identity(from_u, s.shape[-1]) * np.expand_dims(g_s, -2)
    inner = product(product(u, from_u + from_v + stretching), vh)
    # what lies outside the columns of U and of V; nothing where these are square
    if u.shape[-2] > u.shape[-1]:
        outside = _over(g_u - product(u, product(turned(u), g_u)), columns)
        inner = inner + product(outside, vh)
    if v.shape[-2] > v.shape[-1]:
        outside = _over(g_v - product(v, product(vh, g_v)), columns)
        inner = inner + product(u, turned(outside))
    return inner


def _skew_over(m: Any, gaps: Any) -> Any:
    return _over(_without_diagonal(m - turned(m)), gaps)


svd: Primitive = primitive(
    lambda a: np.linalg.svd(a, full_matrices=False), _svd_rule, multiple=True, name="svd"
)
_SVD_RESULT: Any = type(np.linalg.svd(np.ones((1, 1))))


def _svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    if hermitian:
        raise TypeError(
            "the derivative of np.linalg.svd does not know hermitian=True; write np.linalg.eigh"
        )
    if not compute_uv:
        return svd(a)[1]
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise TypeError(
            f"np.linalg.svd of a matrix of shape {a.shape}: U or Vh would have columns that are "
            "not determined, and no derivative; write full_matrices=False"
        )
    return _SVD_RESULT(*svd(a))


rewrite(np.linalg.svd, _svd)
rewrite(np.linalg.svdvals, lambda x, /: svd(x)[1])

# A = Q R


def _qr_rule(g: Any, y: Any, _a: Any) -> Any:
    """(gQ + Q symmetric(tril(R gR^T - gQ^T Q))) R^-T, where A has no more columns than rows."""
    (g_q, g_r), (q, r) = g, y
    m = product(r, turned(g_r)) - product(turned(g_q), q)
    total = g_q + product(q, np.tril(m) + turned(np.tril(m, -1)))
    return turned(solve(r, turned(total)))


qr: Primitive = primitive(lambda a: np.linalg.qr(a), _qr_rule, multiple=True, name="qr")
_QR_RESULT: Any = type(np.linalg.qr(np.ones((1, 1))))


def _qr(a: Any, mode: str = "reduced") -> Any:
    rows, columns = a.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and rows <= columns):
        raise TypeError(
            f"the derivative of np.linalg.qr does not know mode={mode!r} for a matrix of shape "
            f"{a.shape}; write mode='reduced' or 'r'"
        )
    q, r = qr(a[..., :rows])
    if columns > rows:  # the columns that remain follow from the first ones
        r = np.concatenate([r, product(turned(q), a[..., rows:])], axis=-1)
    return r if mode == "r" else _QR_RESULT(q, r)


rewrite(np.linalg.qr, _qr)
