"""The calculus of element-wise functions: one line per function, one expression per argument.

At kinks: abs 0 at 0; maximum and minimum split ties evenly, fmax and fmin give them to the first;
clip passes the gradient at its edges; sqrt is infinite at 0. These are PyTorch's conventions, and
nothing else in the library departs from them.
"""

import math
from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, constant, defvjp, primitive, rewrite, sum_to

LN2, LN10 = math.log(2.0), math.log(10.0)

# arithmetic
defvjp(np.add, lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g)
defvjp(np.subtract, lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g)
defvjp(np.multiply, lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a)
defvjp(np.divide, lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -g * y / b)
defvjp(np.negative, lambda g, _y, _x: -g)
defvjp(np.positive, lambda g, _y, _x: g)
defvjp(np.reciprocal, lambda g, y, _x: -g * y * y)
defvjp(np.remainder, lambda g, _y, _a, _b: g, lambda g, _y, a, b: -g * np.floor_divide(a, b))
rewrite(np.divmod, lambda a, b: (np.floor_divide(a, b), np.remainder(a, b)))
defvjp(np.fmod, lambda g, _y, _a, _b: g, lambda g, _y, a, b: -g * np.trunc(a / b))

# powers and roots
defvjp(np.square, lambda g, _y, x: g * (2 * x))
defvjp(np.sqrt, lambda g, y, _x: g / (2 * y))
defvjp(np.cbrt, lambda g, y, _x: g / (3 * y * y))


def _one_less(a: Any, b: Any) -> Any:
    """The exponent b - 1, but 1 where a = b = 0: then b * a**(b - 1) is 0 there, not NaN."""
    if isinstance(b, (int, float)):
        return b - 1 if b else 1
    return np.where((a == 0) & (b == 0), 1, b - 1.0)  # small integers would wrap around at 0 - 1


_power_base = lambda g, _y, a, b: g * b * a ** _one_less(a, b)


def _log_or_zero(a: Any) -> Any:
    """The logarithm, but 0 at 0: then a**b * log(a) is 0 at a = 0, not NaN."""
    if isinstance(a, (int, float)):
        return math.log(a) if a > 0 else math.nan if a else 0
    return np.log(np.where(a == 0, 1.0, a))  # of small integers np.log has two bytes


_power_exponent = lambda g, y, a, _b: g * y * _log_or_zero(a)
defvjp(np.power, _power_base, _power_exponent)
defvjp(np.float_power, _power_base, _power_exponent)

# exponentials and logarithms
defvjp(np.exp, lambda g, y, _x: g * y)
defvjp(np.exp2, lambda g, y, _x: g * y * LN2)
defvjp(np.expm1, lambda g, y, _x: g * (y + 1))
defvjp(np.log, lambda g, _y, x: g / x)
defvjp(np.log2, lambda g, _y, x: g / (x * LN2))
defvjp(np.log10, lambda g, _y, x: g / (x * LN10))
defvjp(np.log1p, lambda g, _y, x: g / (1 + x))


# at a = y the difference is 0 even where both are infinite: logaddexp(inf, b) has slope 1 in a
_below: Any = lambda a, y: np.where(a == y, 0, a) - np.where(a == y, 0, y)
defvjp(
    np.logaddexp,
    lambda g, y, a, _b: g * np.exp(_below(a, y)),
    lambda g, y, _a, b: g * np.exp(_below(b, y)),
)
defvjp(
    np.logaddexp2,
    lambda g, y, a, _b: g * np.exp2(_below(a, y)),
    lambda g, y, _a, b: g * np.exp2(_below(b, y)),
)

# trigonometric functions and their inverses
defvjp(np.sin, lambda g, _y, x: g * np.cos(x))
defvjp(np.cos, lambda g, _y, x: -g * np.sin(x))
defvjp(np.tan, lambda g, y, _x: g * (1 + y * y))
defvjp(np.arcsin, lambda g, _y, x: g / np.sqrt((1 - x) * (1 + x)))
defvjp(np.arccos, lambda g, _y, x: -g / np.sqrt((1 - x) * (1 + x)))
defvjp(np.arctan, lambda g, _y, x: g / (1 + x * x))
# a / y, and 0 at y = 0: the length of a vector has gradient 0 at the zero vector
_over: Any = lambda a, y: a / np.where(y == 0, 1, y)
defvjp(np.hypot, lambda g, y, a, _b: g * _over(a, y), lambda g, y, _a, b: g * _over(b, y))
defvjp(
    np.arctan2,
    lambda g, _y, a, b: g * (b / np.hypot(a, b)) / np.hypot(a, b),
    lambda g, _y, a, b: -g * (a / np.hypot(a, b)) / np.hypot(a, b),
)
defvjp(np.deg2rad, lambda g, _y, _x: g * (math.pi / 180))
defvjp(np.radians, lambda g, _y, _x: g * (math.pi / 180))
defvjp(np.rad2deg, lambda g, _y, _x: g * (180 / math.pi))
defvjp(np.degrees, lambda g, _y, _x: g * (180 / math.pi))
defvjp(np.unwrap, lambda g, _y, _p, discont=None, axis=-1, period=None: g)


def _sinc_slope(y: Any, x: Any) -> Any:
    """(cos(pi x) - y) / x, and near 0, where that would cancel, its series; right at any order."""
    near = np.abs(x) < 0.2
    z = np.where(near, math.pi * x, 0) ** 2
    series = (
        -(math.pi**2)
        / 3
        * np.where(near, x, 0)
        * (1 - z / 10 * (1 - z / 28 * (1 - z / 54 * (1 - z / 88 * (1 - z / 130 * (1 - z / 180))))))
    )
    far = (np.cos(math.pi * x) - y) / np.where(near, 1, x)
    return np.where(near, series, far)


defvjp(np.sinc, lambda g, y, x: g * _sinc_slope(y, x))

# hyperbolic functions and their inverses
defvjp(np.sinh, lambda g, _y, x: g * np.cosh(x))
defvjp(np.cosh, lambda g, _y, x: g * np.sinh(x))
defvjp(np.tanh, lambda g, y, _x: g * (1 - y * y))
defvjp(np.arcsinh, lambda g, _y, x: g / np.hypot(x, 1))
defvjp(np.arccosh, lambda g, _y, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
defvjp(np.arctanh, lambda g, _y, x: g / ((1 - x) * (1 + x)))

# kinks
defvjp(np.absolute, lambda g, _y, x: g * np.sign(x))
defvjp(np.fabs, lambda g, _y, x: g * np.sign(x))


def _masked(g: Any, mask: Any) -> Any:
    """`g` where the mask is true, else 0, even if `g` is infinite or NaN there.

    A product, which takes a twentieth of np.where's time for a mask without pattern; only where its
    sum is not finite was there something that 0 times does not make 0.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        product = np.multiply(g, mask)
        # np.sum takes four times as long as what it calls, which other libraries do not have
        plain = type(product) is np.ndarray
        total = np.add.reduce(product, axis=None) if plain else np.sum(product).item()
    return product if math.isfinite(total) else np.where(mask, g, 0)


masked: Primitive = primitive(
    _masked, lambda g, _y, _g, mask: sum_to(masked(g, mask), _g.shape), None, name="masked"
)
# half of the gradient for the larger, and half for one that is not the smaller: a tie is split
defvjp(
    np.maximum,
    lambda g, _y, a, b: masked(g / 2, ~(a < b)) + masked(g / 2, ~(a <= b)),
    lambda g, _y, a, b: masked(g / 2, ~(a > b)) + masked(g / 2, ~(a >= b)),
)
defvjp(
    np.minimum,
    lambda g, _y, a, b: masked(g / 2, ~(a > b)) + masked(g / 2, ~(a >= b)),
    lambda g, _y, a, b: masked(g / 2, ~(a < b)) + masked(g / 2, ~(a <= b)),
)
defvjp(
    np.fmax,  # ignores NaN
    lambda g, _y, a, b: masked(g, (a >= b) | np.isnan(b)),
    lambda g, _y, a, b: masked(g, ~((a >= b) | np.isnan(b))),
)
defvjp(
    np.fmin,
    lambda g, _y, a, b: masked(g, (a <= b) | np.isnan(b)),
    lambda g, _y, a, b: masked(g, ~((a <= b) | np.isnan(b))),
)
defvjp(np.heaviside, None, lambda g, _y, x, _h: np.where(x == 0, g, 0))
defvjp(np.copysign, lambda g, y, a, _b: g * np.sign(a) * np.sign(y), None)
where = primitive(
    np.where,
    None,
    lambda g, _y, c, _a, _b: sum_to(masked(g, np.not_equal(c, 0)), _a.shape),
    lambda g, _y, c, _a, _b: sum_to(masked(g, np.equal(c, 0)), _b.shape),
    name="where",
)
rewrite(np.where, lambda c, *xy: where(c, *xy) if xy else np.nonzero(c))


def _inside(a: Any, low: Any, high: Any) -> Any:
    """Where `a` lies within its bounds, edges included; None is no bound."""
    above = (a == a) if low is None else a >= low
    return above if high is None else above & (a <= high)


def _crossed(low: Any, high: Any) -> Any:
    """Where the lower bound is above the upper one: the result is then the upper bound."""
    return False if low is None or high is None else low > high


clip = primitive(
    np.clip,
    lambda g, _y, a, low, high: sum_to(masked(g, _inside(a, low, high)), a.shape),
    lambda g, _y, a, low, high: sum_to(
        np.where(_crossed(low, high), 0, np.where(a < low, g, 0)), low.shape
    ),
    lambda g, _y, a, low, high: sum_to(
        np.where(_crossed(low, high), g, np.where(a > high, g, 0)), high.shape
    ),
    name="clip",
)
rewrite(
    np.clip,
    lambda a, a_min=None, a_max=None, *, min=None, max=None: clip(
        a, min if a_min is None else a_min, max if a_max is None else a_max
    ),
)

# parts of a number
exponent = primitive(lambda x: np.frexp(x)[1], name="exponent")
defvjp(np.ldexp, lambda g, _y, _x, i: np.ldexp(g, i), None)
rewrite(np.frexp, lambda x: (np.ldexp(x, -exponent(x)), exponent(x)))
rewrite(np.modf, lambda x: (np.fmod(x, 1), np.trunc(x)))
defvjp(np.conjugate, lambda g, _y, _x: g)  # of a real number itself, as is the real part
defvjp(np.real, lambda g, _y, _x: g)
defvjp(np.real_if_close, lambda g, _y, _a, tol=100: g)

# conversions
defvjp(np.copy, lambda g, _y, _x, order="K": g)
astype = primitive(
    lambda x, dtype: x.astype(dtype), lambda g, _y, _x, _dtype: g, name="astype"
)  # the engine casts the gradient back
if hasattr(np, "astype"):  # since NumPy 2.1
    rewrite(np.astype, lambda x, dtype, /, *, copy=True: astype(x, np.dtype(dtype)))
defvjp(np.full_like, None, lambda g, _y, _x, _v, dtype=None, shape=None: sum_to(g, _v.shape))

# recorded, but constant: comparisons, rounding, tests, and arrays shaped like another
constant(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)
constant(np.logical_and, np.logical_or, np.logical_xor, np.logical_not)
constant(np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift)
constant(np.isnan, np.isinf, np.isfinite, np.signbit, np.isneginf, np.isposinf, np.isclose)
constant(np.floor, np.ceil, np.trunc, np.rint, np.round, np.fix, np.sign, np.floor_divide)
constant(np.around, np.nextafter, np.spacing, np.angle, np.imag)
constant(np.iscomplex, np.isreal, np.isin, np.gcd, np.lcm, np.bitwise_count)
constant(np.zeros_like, np.ones_like, np.empty_like)
