"""More cases of the test matrix: joining and cutting, parts of matrices, linear algebra."""

import math
from functools import partial

import numpy as np
from cases import Builder, apart, case, integers, positive, real

from tinygrad_fm.rules import decompositions as dec
from tinygrad_fm.rules import norms, solving
from tinygrad_fm.rules.elementwise import astype

# ---- joining and cutting -----------------------------------------------------------------------

for function in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    for shape in ((), (2,), (2, 3), (2, 1, 2)):
        case(function, real(*shape), by=partial(lambda f, x: f(x) * f(x), function))
    case(function, real(), real(2), by=partial(lambda f, x, y: math.prod(f(x, y)), function))
for function in (np.vstack, np.hstack, np.dstack, np.column_stack):
    for left, right in (((2,), (2,)), ((2, 3), (2, 3)), ((2, 1), (2, 1))):
        case(function, real(*left), real(*right), by=partial(lambda f, *xs: f(xs), function))
case(np.hstack, real(), real(), by=lambda x, y: np.hstack([x, y, x * y]))
case(np.column_stack, real(2), real(2, 3), by=lambda x, y: np.column_stack((x, y)))
case(np.vstack, real(2), by=lambda x: np.vstack([x, np.ones(2)]), plain=True)
case(np.concatenate, real(2), by=lambda x: np.concatenate([x, x * x], dtype=np.float64))
case(np.stack, real(2), by=lambda x: np.stack([x, x * x], dtype=np.float64, casting="unsafe"))
case(np.block, real(2, 2), real(2, 1), by=lambda a, b: np.block([[a, b], [b.T, b[:1] * b[1:]]]))
case(np.block, real(2), real(2), by=lambda a, b: np.block([a, b]))
case(np.array_split, real(5, 2), by=lambda x: np.array_split(x, 3)[0] * np.array_split(x, 3)[1])
case(np.array_split, real(2, 5), by=lambda x: np.array_split(x, [1, 4], axis=-1)[1])
case(np.hsplit, real(2, 4), by=lambda x: math.prod(np.hsplit(x, 2)))
case(np.hsplit, real(4), by=lambda x: math.prod(np.hsplit(x, 2)))
case(np.vsplit, real(4, 2), by=lambda x: math.prod(np.vsplit(x, 2)))
case(np.dsplit, real(2, 1, 4), by=lambda x: math.prod(np.dsplit(x, 2)))
if hasattr(np, "unstack"):
    case(np.unstack, real(3, 2), by=lambda x: math.prod(np.unstack(x)))
    case(np.unstack, real(3, 2), by=lambda x: math.prod(np.unstack(x, axis=-1)))
case(np.append, real(2, 3), real(2))
case(np.append, real(2, 3), real(1, 3), axis=0)
case(np.insert, real(4), 1, real())
case(np.insert, real(4), [1, 3], real(2))
case(np.insert, real(4), [1, 1, 4], real())
case(np.insert, real(2, 3), 1, real(2), axis=1)
case(np.insert, real(2, 3), -1, real(3), axis=0)
case(np.insert, real(2, 3), [1], real(2, 2), axis=1)
case(np.insert, real(2, 3), slice(0, 2), real(2, 2), axis=1)
for k in range(-1, 4):
    case(np.rot90, real(2, 3), k)
case(np.rot90, real(2, 3, 2), axes=(1, -1))
for function in (np.fft.fftshift, np.fft.ifftshift):
    case(function, real(3, 4))
    case(function, real(3, 5), axes=1)
case(np.fliplr, real(2, 3))
case(np.flipud, real(2, 3))
case(np.rollaxis, real(2, 3, 2), 2)
case(np.rollaxis, real(2, 3, 2), 0, 3)
case(np.rollaxis, real(2, 3, 2), 1, -1)
case(np.broadcast_arrays, real(2, 1), real(3), by=lambda x, y: math.prod(np.broadcast_arrays(x, y)))
case(np.apply_along_axis, real(2, 3), by=lambda x: np.apply_along_axis(np.cumprod, 0, x))
case(np.apply_along_axis, real(2, 3, 2), by=lambda x: np.apply_along_axis(np.sum, 1, x))
case(
    np.apply_along_axis,
    real(2, 3),
    by=lambda x: np.apply_along_axis(lambda r: r[:, None] * r, 1, x),
)
case(np.apply_over_axes, real(2, 3, 2), by=lambda x: np.apply_over_axes(np.sum, x * x, (0, 2)))
if hasattr(np, "astype"):
    case(np.astype, real(2, 3), by=lambda x: np.astype(x, np.float64) * x)
case(astype, real(2, 3), by=lambda x: x.astype(np.float64, copy=False) * x)

# ---- diagonals and triangles -------------------------------------------------------------------

for offset in (-1, 0, 2):
    case(np.diagonal, real(3, 4), offset)
    case(np.trace, real(3, 4), offset)
    case(np.diag, real(3), offset)
    case(np.diag, real(2, 3), offset)
    case(np.diagflat, real(2, 2), offset)
    for function in (np.tril, np.triu):
        case(function, real(3, 4), offset)
        case(function, real(2, 3, 3), offset)
case(np.diagonal, real(2, 3, 2), axis1=2, axis2=1)
case(np.trace, real(2, 3, 2), axis1=-1, axis2=0)
case(np.tril, real(3))
case(np.triu, real(3), k=1)
case(np.linalg.diagonal, real(2, 3, 3), offset=1)
case(np.linalg.trace, real(2, 3, 3))
case(np.matrix_transpose, real(2, 3, 2))
case(np.linalg.matrix_transpose, real(2, 3))

# ---- further products --------------------------------------------------------------------------

for left, right in (((3,), (3,)), ((2, 3), (2, 3)), ((2, 2, 3), (3,)), ((), (2,))):
    case(np.inner, real(*left), real(*right))
case(np.vdot, real(2, 3), real(3, 2))
for function in (np.vecdot, np.linalg.vecdot):
    case(function, real(2, 3), real(3))
    case(function, real(3, 2), real(3, 1), axis=0)
if hasattr(np, "matvec"):
    case(np.matvec, real(2, 2, 3), real(3))
    case(np.vecmat, real(2), real(2, 2, 3))
for left, right in (
    ((2,), (3,)),
    ((2, 2), (1, 3)),
    ((2,), (2, 2)),
    ((2, 1, 2), (2, 2)),
    ((), (2,)),
):
    case(np.kron, real(*left), real(*right))
case(np.cross, real(3), real(3))
case(np.cross, real(2, 3), real(3))
case(np.cross, real(3, 2), real(3, 2), axis=0)
case(np.cross, real(3, 2), real(2, 3), axisa=0, axisc=0)
case(np.linalg.cross, real(2, 3), real(1, 3))
case(np.linalg.matmul, real(2, 3), real(3, 2))
case(np.linalg.outer, real(2), real(3))
case(np.linalg.tensordot, real(2, 3), real(3, 2), axes=1)
case(np.linalg.multi_dot, real(2, 3), real(3, 1), real(1, 2), by=lambda *m: np.linalg.multi_dot(m))
case(np.linalg.multi_dot, real(2), real(2, 3), real(3), by=lambda *m: np.linalg.multi_dot(m))
case(np.linalg.multi_dot, real(2), real(2, 3), by=lambda *m: np.linalg.multi_dot(m))

# ---- norms -------------------------------------------------------------------------------------

case(np.linalg.norm, real(2, 3), by=lambda x: np.linalg.norm(x, 0, axis=1) * x[:, 0])
for order in (None, 2, 1, 3, 2.5, 0.5, -1, -2, math.inf, -math.inf):
    case(np.linalg.norm, apart(4), ord=order)
    case(np.linalg.norm, apart(2, 3), ord=order, axis=0)
for order in (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
    by_svd = order in ("nuc", 2, -2)  # which gives a named tuple
    case(np.linalg.norm, apart(2, 3), ord=order, plain=by_svd)
    case(np.linalg.norm, apart(2, 2, 3), ord=order, axis=(2, 0), keepdims=True, plain=by_svd)
case(np.linalg.norm, real(2, 3, 2))
case(np.linalg.norm, real(2, 3, 2), keepdims=True)
case(np.linalg.norm, real())
case(norms.length, real(2, 3), by=lambda x: np.linalg.norm(x, axis=-1, keepdims=True))
case(norms.power_norm, real(2, 3), by=lambda x: np.linalg.norm(x, 3, axis=-1, keepdims=True))
case(norms.power_norm, np.array([0.0, 1.0, -2.0]), by=lambda x: np.linalg.norm(x, 4))
for order in (2, 1, 3, math.inf, -math.inf):
    case(np.linalg.vector_norm, apart(2, 3, 2), axis=(0, 2), ord=order, keepdims=True)
    case(np.linalg.vector_norm, apart(2, 3), ord=order)
case(np.linalg.matrix_norm, real(2, 2, 3))
case(np.linalg.matrix_norm, real(2, 2, 3), ord="nuc", keepdims=True)

# ---- solving -----------------------------------------------------------------------------------


def regular(*shape):
    """Matrices with a condition number near 3."""

    def draw(rng):
        return rng.uniform(-0.3, 0.3, shape) + 1.3 * np.eye(*shape[-2:])

    return Builder(draw)


def graded(*shape):
    """Matrices whose singular values are well apart."""

    def draw(rng):
        u, _, vh = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
        return (u * np.linspace(1, 3, u.shape[-1])) @ vh

    return Builder(draw)


for function in (np.linalg.inv, np.linalg.pinv):
    case(function, regular(3, 3))
    case(function, regular(2, 2, 2))
for shape in ((1, 1), (3, 3), (2, 2, 2)):
    case(np.linalg.det, regular(*shape), by=lambda a: np.linalg.det(a) ** 2)
case(solving.cofactors, regular(3, 3), by=lambda a: np.sum(solving.cofactors(a) ** 2))
for left, right in (((2, 2), (2,)), ((2, 2), (2, 3)), ((2, 2, 2), (2, 1)), ((2, 2, 2), (2,))):
    case(np.linalg.solve, regular(*left), real(*right))
case(np.linalg.solve, regular(2, 2), real(2, 2, 3))
case(solving.solve, regular(2, 2), real(2, 1))
case(
    np.linalg.tensorsolve,
    regular(4, 4),
    real(2, 2),
    by=lambda a, b: np.linalg.tensorsolve(a.reshape(2, 2, 2, 2), b),
)
case(
    np.linalg.tensorsolve,
    regular(4, 4),
    real(2, 2),
    by=lambda a, b: np.linalg.tensorsolve(a.reshape(2, 2, 4), b, axes=None),
)
case(
    np.linalg.tensorinv, regular(4, 4), by=lambda a: np.linalg.tensorinv(a.reshape(2, 2, 4), ind=2)
)
case(np.linalg.slogdet, regular(3, 3), by=lambda a: np.linalg.slogdet(a)[1])
case(np.linalg.slogdet, regular(2, 2, 2), by=lambda a: np.linalg.slogdet(-a).logabsdet)
case(solving.log_determinant, regular(2, 2), by=lambda a: np.linalg.slogdet(a)[1])
for shape in ((3, 2), (2, 3), (2, 3, 2)):
    case(np.linalg.pinv, graded(*shape))
case(np.linalg.pinv, np.array([[1.0, 2.0], [3.0, 5.0]]), rcond=1e-6)
case(solving.pinv, graded(2, 2))
case(np.linalg.matrix_power, regular(2, 2), by=lambda a: a * np.linalg.matrix_power(a, 0))
for power in (-2, -1, 1, 2, 3, 5):
    case(np.linalg.matrix_power, regular(2, 2), power)
case(np.linalg.matrix_power, regular(2, 2, 2), 3)
for order in (None, 2, -2, 1, "fro", math.inf):
    case(np.linalg.cond, graded(2, 2), p=order, plain=order in (None, 2, -2))
for right in ((4,), (4, 2)):
    for i in (0, 1):
        least = partial(lambda i, a, b: np.linalg.lstsq(a, b, rcond=None)[i], i)
        case(np.linalg.lstsq, graded(4, 2), real(*right), by=least)

# ---- decompositions: of symmetric matrices, made so --------------------------------------------


def symmetric(f):
    return lambda a: f((a + np.swapaxes(a, -1, -2)) / 2)


def signed(v):
    """Vectors that do not depend on the sign that LAPACK chose."""
    return v * np.sign(v[..., :1, :])


for shape in ((3, 3), (2, 2, 2)):
    case(np.linalg.cholesky, regular(*shape), by=symmetric(np.linalg.cholesky))
    case(np.linalg.eigvalsh, graded(*shape), by=symmetric(np.linalg.eigvalsh))
    case(np.linalg.eigh, graded(*shape), by=symmetric(lambda a: np.linalg.eigh(a)[0]))
    case(
        np.linalg.eigh,
        graded(*shape),
        by=symmetric(lambda a: signed(np.linalg.eigh(a).eigenvectors)),
    )
case(dec.cholesky, regular(2, 2), by=symmetric(np.linalg.cholesky))
if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
    upper = symmetric(lambda a: np.linalg.cholesky(a, upper=True))
    case(np.linalg.cholesky, regular(3, 3), by=upper)
case(dec.eigh, graded(2, 2), by=symmetric(lambda a: np.linalg.eigh(a, UPLO="U")[0]))


def recomposed(a):
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return (u * np.expand_dims(s**3, -2)) @ vh


for shape in ((3, 3), (3, 2), (2, 3), (2, 3, 2)):
    case(np.linalg.svd, graded(*shape), by=lambda a: np.linalg.svd(a, compute_uv=False))
    # with NumPy 2.0 the last bit depends on the memory order that a wrapped array loses
    case(np.linalg.svd, graded(*shape), by=recomposed, plain=True)
    for i in (0, 2):
        part = partial(lambda i, a: np.linalg.svd(a, full_matrices=False)[i], i)
        turned = [lambda a, p=part: signed(p(a)), None, lambda a, p=part: signed(p(a).mT)][i]
        case(dec.svd, graded(*shape), by=turned)
    case(np.linalg.svdvals, graded(*shape))
case(np.linalg.svd, graded(2, 2), by=lambda a: np.linalg.svd(a).S)
for shape in ((3, 3), (3, 2), (2, 3), (2, 3, 2)):
    case(np.linalg.qr, graded(*shape), by=lambda a: np.linalg.qr(a)[0].mT @ (a * a))
    case(np.linalg.qr, graded(*shape), by=lambda a: np.sum(np.linalg.qr(a).R) ** 2)
case(np.linalg.qr, graded(3, 2), mode="r")
complete = lambda a: np.sum(np.linalg.qr(a, "complete").Q * a[:, :2]) ** 2
case(np.linalg.qr, graded(2, 3), by=complete)
case(dec.qr, graded(2, 2), by=lambda a: sum(map(np.sum, np.linalg.qr(a))) ** 2)

# ---- recorded, but constant --------------------------------------------------------------------

case(np.linalg.matrix_rank, regular(2, 2))
case(solving.determinant_sign, regular(2, 2), by=lambda a: np.linalg.slogdet(a)[0])
case(np.argsort, positive(3), kind="stable")
case(np.argsort, apart(2, 3), axis=0)
case(np.take, real(3), integers(0, 2))
