"""More cases of the test matrix: order, statistics, sequences, choices, and rarer functions."""

import math
from functools import partial

import numpy as np
from cases import MASK, apart, between, case, integers, positive, real, unit

from tinygrad_fm.rules.elementwise import exponent
from tinygrad_fm.rules.ordering import lexsort
from tinygrad_fm.rules.sequences import convolve, correlate
from tinygrad_fm.rules.statistics import recurrence

NAN = np.nan

# ---- rarer functions of each element -----------------------------------------------------------

for function in (np.fmax, np.fmin):
    case(function, real(2, 3), real(2, 3))
    case(function, real(2, 1), real(3))
    case(function, real(4), 0.1)
case(np.heaviside, real(2, 3), positive(3))
case(np.heaviside, positive(3), by=partial(np.heaviside, np.array([0.0, 1.0, 0.0])), plain=True)
case(np.copysign, real(2, 3), real(3))
case(np.copysign, real(2, 3), -1.0)
case(np.ldexp, real(2, 3), integers(1, -2, 0))
case(np.frexp, between(1.1, 1.9, 2, 3), by=lambda x: np.frexp(x)[0] * np.frexp(x * x)[1])
case(np.modf, real(2, 3), by=lambda x: np.modf(x)[0] ** 2 + np.modf(x)[1])
case(np.sinc, real(2, 3))
case(np.sinc, between(-0.19, 0.19, 4))
case(np.sinc, np.array([0.0, 1e-9, 0.7]))
case(np.unwrap, np.array([0.1, 3.0, 6.5, 9.0, 1.0]))
case(np.unwrap, apart(2, 3), axis=0)
for function in (np.conjugate, np.real, np.real_if_close):
    case(function, real(2, 3))
case(np.logspace, unit(), unit(), num=4)
case(np.logspace, unit(2), 1.0, num=3, base=2.0, axis=-1)

# ---- choosing ----------------------------------------------------------------------------------

case(np.select, real(3, 4), by=lambda x: np.select([x > 1, x < 0], [x * x, -x], 3.0))
case(np.select, real(3, 4), real(4), by=lambda x, y: np.select([x > 1], [x * x], y))
case(np.choose, real(3), real(3), by=lambda a, b: np.choose(integers(1, 0, 1), [a, b]), plain=True)
for mode in ("wrap", "clip"):
    chosen = partial(
        lambda mode, x: np.choose(np.argmax(x, axis=0) - 2, [x * x, x, -x], mode=mode), mode
    )
    case(np.choose, apart(2, 3), by=chosen)
case(np.piecewise, real(2, 3), by=lambda x: np.piecewise(x, [x > 1, x < 0], [np.exp, 2.0]))
case(np.piecewise, real(4), by=lambda x: np.piecewise(x, x > 0, [np.square, np.sin]))
case(np.nan_to_num, real(2, 3))
broken = lambda x: np.where(x > 1, NAN, np.where(x < 0, np.inf, x))
case(np.nan_to_num, real(2, 3), by=lambda x: np.nan_to_num(broken(x), nan=2.0, posinf=3.0))

# ---- indexing by functions ---------------------------------------------------------------------

for mode in ("wrap", "clip"):
    case(np.take, real(3, 4), integers([5, -7], [0, 2]), axis=1, mode=mode)
case(np.take_along_axis, real(3, 4), integers([0, 0, 3], [1, 2, 2], [3, 3, 3]), axis=1)
case(np.take_along_axis, real(3, 4), integers([0, 2, 1, 1]), axis=0)
case(np.take_along_axis, apart(3, 4), by=lambda x: np.take_along_axis(x, np.argsort(x), axis=-1))
case(np.take_along_axis, real(2, 2), integers(0, 3, 3), axis=None)
case(np.compress, real(3, 4), by=partial(np.compress, [True, False, True]))
case(np.compress, real(3, 4), by=lambda x: np.compress([False, True, True], x, axis=-1))
case(np.extract, real(3, 4), by=lambda x: np.extract(x > 0, x * x))
case(np.delete, real(3, 4), 1)
case(np.delete, real(3, 4), [0, -1], axis=1)
case(np.delete, real(3, 4), slice(0, 2), axis=0)
case(np.resize, real(2, 3), (3, 3))
case(np.resize, real(2, 3), 4)
case(np.bincount, real(4), by=lambda w: np.bincount([1, 0, 3, 1], w), plain=True)
case(np.bincount, real(3), by=lambda w: np.bincount([1, 0, 1], weights=w, minlength=4), plain=True)

windows = np.lib.stride_tricks.sliding_window_view
case(windows, real(4), by=lambda x: windows(x, 2))
case(windows, real(2, 3, 4), by=lambda x: windows(x, (2, 3), axis=(0, 2)))
case(windows, real(2, 3), by=lambda x: windows(x, (2, 2)))


# ---- functions that write ----------------------------------------------------------------------


def written(function, x, *arguments):
    """What is in a copy of x after the function has written to it."""
    y = x * x
    function(y, *arguments)
    return y


WRITES = [
    (np.fill_diagonal, (2, 3), lambda f, y, v: f(y, v[0]), (2,)),
    (np.fill_diagonal, (3, 3), lambda f, y, v: f(y, v), (2,)),
    (np.fill_diagonal, (2, 2, 2), lambda f, y, v: f(y, v), (2,)),
    (np.put, (2, 3), lambda f, y, v: f(y, [0, -1, 2], v), (2,)),
    (np.put_along_axis, (2, 3), lambda f, y, v: f(y, integers([1], [0]), v, 1), (2, 1)),
    (np.putmask, (3, 4), lambda f, y, v: f(y, MASK, v * v), (3, 4)),
    (np.putmask, (3, 4), lambda f, y, v: f(y, y > 1, v[0]), (1,)),
    (np.place, (3, 4), lambda f, y, v: f(y, MASK, v), (2,)),
    (np.copyto, (2, 3), lambda f, y, v: f(y, v), (3,)),
    (np.copyto, (3, 4), lambda f, y, v: f(y, v, where=MASK), (4,)),
]
for function, shape, write, values in WRITES:
    put = partial(lambda w, f, x, v: written(partial(w, f), x, v), write, function)
    case(function, real(*shape), real(*values), by=put, plain=True)

# ---- order -------------------------------------------------------------------------------------

case(np.sort, apart(3, 4))
for axis in (0, 1, None):
    case(np.sort, apart(3, 4), axis=axis)
case(np.sort, apart(2, 3, 2), axis=1, kind="stable")
case(np.partition, apart(3, 5), by=lambda x: np.partition(x, 2)[..., 2])
case(np.partition, apart(3, 5), by=lambda x: np.partition(x, (1, 3), axis=None)[1:4:2])
case(np.partition, apart(4, 2), by=lambda x: np.partition(x, 1, axis=0)[1])
for axis in (None, 0, (0, 2)):
    for function in (np.ptp, np.median, np.nanmedian):
        case(function, apart(2, 3, 2), axis=axis)
    case(np.median, apart(2, 3, 2), axis=axis, keepdims=True)
    case(np.quantile, apart(2, 3, 2), by=partial(np.quantile, q=0.3, axis=axis))
case(np.ptp, apart(2, 3), axis=1, keepdims=True)
for function in (np.quantile, np.nanquantile):
    case(function, apart(3, 4), by=partial(function, q=[0.0, 0.3, 0.5, 1.0], axis=0))
    case(function, apart(3, 4), by=partial(function, q=[[0.1], [0.9]], axis=1, keepdims=True))
    case(function, apart(5), by=partial(function, q=0.25))
for function in (np.percentile, np.nanpercentile):
    case(function, apart(3, 4), by=partial(function, q=[10, 75], axis=1))
for method in ("lower", "higher", "nearest", "midpoint", "hazen", "median_unbiased", "weibull"):
    case(np.quantile, apart(6), by=partial(np.quantile, q=[0.15, 0.6], method=method))
HOLES = np.array([[False, True, False, False], [True, False, False, True]])
for function in (np.nanmedian, np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd):
    holed = partial(lambda f, x: f(np.where(HOLES, NAN, x), axis=1), function)
    case(function, apart(2, 4), by=holed, plain=True)
    case(function, apart(2, 4))
for function in (np.nanmax, np.nanmin, np.nancumsum, np.nancumprod):
    holed = partial(lambda f, x: f(np.where(HOLES, NAN, x), axis=-1), function)
    case(function, apart(2, 4), by=holed, plain=True)
    case(function, apart(2, 4))
case(np.nanvar, apart(2, 4), axis=0, ddof=1, keepdims=True)
case(np.nanmean, apart(2, 4), axis=0, keepdims=True)

# ---- statistics --------------------------------------------------------------------------------

case(np.average, real(2, 3))
case(np.average, real(2, 3), axis=1, keepdims=True)
case(np.average, real(2, 3), by=lambda x: np.average(x, axis=0, weights=[1.0, 3.0]), plain=True)
case(np.average, real(2, 3), positive(3), by=lambda x, w: np.average(x, axis=-1, weights=w))
case(np.average, real(2, 3), positive(2, 3), by=lambda x, w: np.average(x, weights=w))
case(
    np.average,
    real(2, 3),
    positive(2, 3),
    by=lambda x, w: sum(np.average(x, 0, w, True)),
)
case(np.average, real(2, 3), by=lambda x: sum(np.average(x, axis=0, returned=True)))
for axis in (None, 0, -1):
    case(np.cumprod, real(2, 3), axis=axis)
case(np.cumprod, real(4))
case(np.cumprod, np.array([2.0, 0.0, 3.0, 0.0, 4.0]))
case(recurrence, real(2, 3), real(2, 3))
if hasattr(np, "cumulative_sum"):
    for function in (np.cumulative_sum, np.cumulative_prod):
        case(function, real(3))
        case(function, real(2, 3), axis=1, include_initial=True)
case(np.cov, real(3, 4))
case(np.cov, real(4, 2), rowvar=False, bias=True)
case(np.cov, real(4), real(4))
case(np.cov, real(4), ddof=0)
case(np.corrcoef, between(-2, 2, 2, 4), by=lambda x: np.corrcoef(x)[0, 1])
case(np.corrcoef, real(4), real(4), by=lambda x, y: np.corrcoef(x, y)[0, 1])

# ---- sequences ---------------------------------------------------------------------------------

case(np.diff, real(3, 4))
case(np.diff, real(3, 4), n=2, axis=0)
case(np.diff, real(3, 4), prepend=0.0, append=1.5, axis=0)
case(np.diff, real(3, 4), real(3, 2), by=lambda x, e: np.diff(x, prepend=e, append=e * e))
case(np.ediff1d, real(2, 3))
case(
    np.ediff1d, real(4), real(2), by=lambda x, e: np.ediff1d(x, to_begin=e, to_end=-9.0), plain=True
)
for order in (1, 2):
    for axis in (0, 1):
        case(np.gradient, real(4, 5), by=partial(np.gradient, axis=axis, edge_order=order))
    spaced = partial(lambda k, f, h: np.gradient(f, h, edge_order=k), order)
    case(np.gradient, real(5), positive(), by=spaced)
    at = partial(lambda k, f, x: np.gradient(f * x, np.cumsum(x), edge_order=k) ** 2, order)
    case(np.gradient, real(5), positive(5), by=at)
case(np.gradient, real(3, 4), by=lambda f: np.gradient(f, 0.5)[0] * np.gradient(f, 0.5, 2.0)[1])
case(np.gradient, real(2), 0.5)
case(np.gradient, real(4), by=lambda f: np.gradient(f, [0.0, 1.0, 3.0, 3.5]), plain=True)
case(np.trapezoid, real(3, 4))
case(np.trapezoid, real(3, 4), dx=0.5, axis=0)
case(np.trapezoid, real(3, 4), apart(4))
case(np.trapezoid, real(3, 4), apart(3, 4), axis=0)
for mode in ("full", "same", "valid"):
    for function in (np.convolve, np.correlate):
        for left, right in ((5, 3), (3, 5), (4, 1), (4, 2), (2, 5), (3, 3)):
            case(function, real(left), real(right), mode=mode)
case(np.convolve, real(4), real(2))
case(np.correlate, real(4), real(2))
case(convolve, real(4), real(2))
case(correlate, real(4), real(2))
GRID = np.array([-1.0, 0.2, 0.5, 1.7])
case(np.interp, between(0.25, 0.45, 2, 3), GRID, real(4))
case(np.interp, np.array([-3.0, 0.3, 1.0, 5.0]), GRID, real(4))
case(np.interp, np.array([-3.0, 0.3, 5.0]), GRID, real(4), left=7.0, right=8.0)
case(np.interp, np.array([-2.9, 0.3, 5.1]), GRID, real(4), period=3.0)
case(np.interp, real(3), np.array([0.5]), real(1))
case(np.polyval, real(4), real(2, 3))
case(np.polyval, real(2, 3), by=partial(np.polyval, [1.0, -2.0, 0.5]))
case(np.vander, real(3))
case(np.vander, real(3), N=4, increasing=True)
case(np.linspace, real(), real())
case(np.linspace, real(), 2.0, num=5, endpoint=False)
case(np.linspace, real(2), real(2, 1), num=4)
case(np.linspace, real(2), real(2), num=3, axis=-1)
for indexing in ("xy", "ij"):
    for sparse in (False, True):
        mesh = partial(
            lambda i, s, x, y, z: math.prod(np.meshgrid(x, y, z, indexing=i, sparse=s)),
            indexing,
            sparse,
        )
        case(np.meshgrid, real(2), real(3), real(1), by=mesh)

# ---- recorded, but constant --------------------------------------------------------------------

case(exponent, real(2, 3))
for function in (np.around, np.spacing, np.angle, np.imag, np.iscomplex, np.isreal):
    case(function, real(2, 3))
case(np.nextafter, real(2, 3), real(3))
case(np.isin, real(2, 3), real(3))
for function in (np.gcd, np.lcm):
    case(function, apart(3, 4), by=partial(lambda f, x: f(np.argmax(x, axis=0), 2), function))
case(np.bitwise_count, apart(3, 4), by=lambda x: np.bitwise_count(np.argmax(x, axis=0)))
case(np.argpartition, apart(3, 4), 2)
case(lexsort, apart(3, 4), by=np.lexsort)
case(lexsort, apart(3, 4), by=lambda x: np.lexsort((x[0], x[1])))
case(np.lexsort, apart(3, 4), by=lambda x: x[:, np.lexsort(x)])
case(np.digitize, unit(4), np.array([-0.5, 0.0, 0.5]))
for function in (np.nanargmax, np.nanargmin):
    case(function, apart(3, 4), axis=1)
case(np.compress, real(3, 4), by=lambda x: np.compress(MASK[:, 0], x, axis=0))
