"""The cases of the test matrix: for each rule, calls at points where its derivative exists.

A new operation needs a line in `tinygrad_fm/rules/` and one here:

    case(np.tanh, real(2, 3))

`case(key, *args, **keywords)` calls the function `key` itself; `by=` calls another function of the
arrays instead. Arguments are arrays, or builders such as `real(2, 3)` that draw one. Floats are
differentiated by; integers, masks and other values are passed on.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinygrad_fm import engine


@dataclass(frozen=True)
class Case:
    """One call: the registry's key, the function to call, and its arguments."""

    key: Any
    function: Callable[..., Any]
    args: tuple[Any, ...]
    label: str
    plain: bool = False  # mixes in lists, which array libraries other than NumPy refuse

    @property
    def floats(self):
        """Which arguments are arrays of floats."""
        return [i for i, a in enumerate(self.args) if getattr(a, "dtype", None) == np.float64]

    def __call__(self, *arrays):
        return self.function(*arrays)


CASES: dict[Any, list[Case]] = {}


def case(key, *args, by=None, plain=False, **keywords):
    """Add a case for `key`, a key of the registry or of the rewrites."""
    rows = CASES.setdefault(key, [])
    # seeded by name: a case keeps its numbers when others are added, or missing in an older NumPy
    rng = np.random.default_rng([zlib.crc32(name_of(key).encode()), len(rows)])
    built = tuple(a(rng) if isinstance(a, Builder) else a for a in args)
    if by is None:
        by = partial(key, **keywords) if keywords else key
    shapes = "-".join("x".join(map(str, np.shape(a))) or "scalar" for a in built if _is_array(a))
    options = "".join(f",{k}={v}" for k, v in keywords.items())
    rows.append(Case(key, by, built, f"{name_of(key)}[{len(rows)}:{shapes}{options}]", plain))


def name_of(key):
    """What a key of the registry or of the rewrites is called."""
    found = key if isinstance(key, engine.Primitive) else engine.registry.get(key)
    return key.__name__ if found is None else found.name


def _is_array(a):
    return isinstance(a, np.ndarray)


# ---- builders of arguments ---------------------------------------------------------------------


class Builder:
    """Draws an array from a generator."""

    def __init__(self, draw):
        self.draw = draw

    def __call__(self, rng):
        return self.draw(rng)


def between(low, high, *shape):
    """Floats of an interval."""
    return Builder(lambda rng: np.asarray(rng.uniform(low, high, shape)))


def real(*shape):
    """Floats of either sign, of size 0.3 to 2: away from 0."""
    return Builder(
        lambda rng: np.asarray(rng.uniform(0.3, 2, shape) * rng.choice([-1.0, 1.0], shape))
    )


def positive(*shape):
    """Floats from 0.3 to 2."""
    return between(0.3, 2, *shape)


def unit(*shape):
    """Floats from -0.9 to 0.9."""
    return between(-0.9, 0.9, *shape)


def apart(*shape):
    """Floats of which no two are closer than 0.2: no ties, no changes of order nearby."""
    size = int(np.prod(shape))
    return Builder(
        lambda rng: np.reshape(rng.permutation(size) * 0.3 - 1 + rng.uniform(0, 0.1, size), shape)
    )


def integers(*values):
    """An array of integers."""
    return np.array(values)


MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, True]])

# ---- arithmetic, and broadcasting --------------------------------------------------------------

PAIRS = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 2)), ((2, 2), ()), ((), ())]

for left, right in PAIRS:
    for function in (np.add, np.subtract, np.multiply, np.divide):
        case(function, real(*left), real(*right))

case(np.multiply, real(3), by=lambda x: x * x)  # one Tensor in both places
case(np.add, real(2, 3), 2.0)
case(np.subtract, 2.0, real(2, 3))
case(np.divide, 2.0, real(2, 3))
case(np.multiply, real(2, 3), np.array([1, 2, 3]))
for function in (np.remainder, np.fmod):
    case(function, real(2, 3), positive(2, 3))
    case(function, between(3, 3.4, 3), -np.ones((2, 1)) * 1.3)
for function in (np.maximum, np.minimum):
    case(function, real(2, 3), real(2, 3))
    case(function, real(2, 1), real(3))
    case(function, real(4), 0.1)
for function in (np.logaddexp, np.logaddexp2, np.arctan2, np.hypot):
    case(function, real(2, 3), real(2, 3))
    case(function, real(2, 1), real(3))
for function in (np.power, np.float_power):
    case(function, positive(2, 3), real(3))
    case(function, real(2, 3), 3)
    case(function, real(2, 3), np.array([0, 1, 2]))
    case(function, 2.5, real(2, 3))
    case(function, positive(3), -0.5)
case(np.power, real(3), by=lambda x: x**2 + x**-1 + x**3)
case(np.power, real(3), positive(3), by=lambda x, p: abs(x) ** p + 2.0**x)
case(np.divmod, real(2, 3), positive(3), by=lambda a, b: np.divmod(a, b)[0] + np.divmod(a, b)[1])

# ---- functions of one argument -----------------------------------------------------------------

ANYWHERE = [np.negative, np.positive, np.square, np.exp, np.exp2, np.expm1, np.sin, np.cos, np.tanh]
ANYWHERE += [
    np.arctan,
    np.sinh,
    np.cosh,
    np.arcsinh,
    np.deg2rad,
    np.radians,
    np.rad2deg,
    np.degrees,
]
AWAY_FROM_ZERO = [np.reciprocal, np.cbrt, np.absolute, np.fabs]
POSITIVE = [np.sqrt, np.log, np.log2, np.log10, np.log1p]
WITHIN_ONE = [np.tan, np.arcsin, np.arccos, np.arctanh]

for functions, build in [
    (ANYWHERE, real),
    (AWAY_FROM_ZERO, real),
    (POSITIVE, positive),
    (WITHIN_ONE, unit),
]:
    for function in functions:
        case(function, build(2, 3))
        case(function, build())
case(np.arccosh, between(1.2, 3, 2, 3))
case(np.copy, real(2, 3))
case(np.sqrt, positive(3), by=lambda x: x**0.5)

# ---- choosing ----------------------------------------------------------------------------------

case(np.where, MASK, real(3, 4), real(3, 4))
case(np.where, MASK, real(4), real(3, 1))
case(np.where, MASK, real(3, 4), 0.0)
case(np.where, real(3, 4), by=lambda x: np.where(x > 0, x * x, -x))
case(np.clip, real(3, 4), -1, 1)
case(np.clip, real(3, 4), between(-0.5, -0.1, 4), between(0.1, 0.5, 3, 1))
case(np.clip, real(3, 4), None, 0.5)
case(np.clip, real(3, 4), between(0.2, 0.3), between(-0.3, -0.2))  # bounds that cross
case(np.clip, real(3, 4), by=lambda x: x.clip(min=-0.7) * x.clip(-1, 1))
case(np.full_like, real(2, 3), real(3))
case(np.full_like, real(2, 3), real(), shape=(4,))

# ---- reductions --------------------------------------------------------------------------------

AXES = [None, 0, -1, (0, 2), (1, -1), (2, 0, 1)]

for function in (np.sum, np.mean, np.var, np.std, np.max, np.min, np.prod):
    build = apart if function in (np.max, np.min) else real
    for axis in AXES:
        case(function, build(2, 3, 2), axis=axis)
    case(function, build(2, 3), axis=1, keepdims=True)
    case(function, build(2, 3), axis=None, keepdims=True)
    case(function, build())
    case(function, build(2, 3), by=partial(lambda name, x: getattr(x, name)(0), function.__name__))
for function in (np.var, np.std):
    case(function, real(4, 2), axis=0, ddof=1)
    case(function, real(3), ddof=0.5)
for function in (np.sum, np.mean, np.prod):
    case(function, real(2, 3), axis=1, dtype=np.float64)
case(np.cumsum, real(2, 3))
case(np.cumsum, real(2, 3), axis=0)
case(np.cumsum, real(2, 3, 2), axis=-2)

# ---- products ----------------------------------------------------------------------------------

MATMUL = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 2)),
    ((2, 2, 3), (3,)),
    ((3,), (2, 3, 2)),
    ((2, 2, 3), (2, 3, 1)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((2, 1, 2, 3), (1, 2, 3, 2)),
    ((1, 1), (1, 1)),
]
for left, right in MATMUL:
    case(np.matmul, real(*left), real(*right))
case(np.matmul, real(2, 2), by=lambda a: a @ a)
DOT = [
    ((), (2,)),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((2, 2), ()),
]
for left, right in DOT:
    case(np.dot, real(*left), real(*right))
case(np.tensordot, real(2, 3, 2), real(3, 2, 2))
case(np.tensordot, real(2, 3), real(3, 2), axes=1)
case(np.tensordot, real(2), real(3), axes=0)
case(np.tensordot, real(2, 3, 2), real(2, 3), axes=((0, 1), (0, 1)))
case(np.tensordot, real(2, 3, 2), real(3, 2), axes=([-1, 1], [1, 0]))
case(np.tensordot, real(2, 3), real(2, 3), axes=(-1, 1))
case(np.amax, real(3, 2), axis=1)
case(np.amin, real(3, 2))
case(np.outer, real(3), real(2))
case(np.outer, real(2, 2), real(3))

EINSUM = {
    "ij,jk->ik": [(2, 3), (3, 2)],
    "ij,jk": [(2, 3), (3, 2)],
    "ba,ac": [(2, 3), (3, 2)],
    "ij->ji": [(2, 3)],
    "ji": [(2, 3)],
    "ij->": [(2, 3)],
    "ij->j": [(2, 3)],
    "ii->i": [(3, 3)],
    "ii": [(3, 3)],
    "iij->j": [(2, 2, 3)],
    "iii->i": [(2, 2, 2)],
    "ij,ij->i": [(2, 3), (2, 3)],
    "i,j->ij": [(2,), (3,)],
    ",i->i": [(), (3,)],
    "i,->": [(3,), ()],
    "...ij,...jk->...ik": [(2, 2, 3), (3, 2)],
    "...i,...i": [(2, 3), (1, 3)],
    "i...,i...->...": [(2, 3), (2, 3)],
    "ij...->j...": [(2, 3, 2)],
    "ij,jk,kl->il": [(2, 2), (2, 3), (3, 2)],
    "ij,ij,j->i": [(2, 3), (2, 3), (3,)],
    "ij,ik->jk": [(1, 3), (2, 2)],
    "ab,bcd->acd": [(2, 3), (3, 2, 2)],
    "ii,i->i": [(2, 2), (2,)],
    "ij,k->ij": [(2, 2), (3,)],
}
for subscripts, shapes in EINSUM.items():
    case(np.einsum, *(real(*s) for s in shapes), by=partial(np.einsum, subscripts))
case(np.einsum, real(2, 3), real(3, 2), by=lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [0, 2]))
case(np.einsum, real(2, 3), real(3, 2), by=lambda a, b: np.einsum(a, [0, 1], b, [1, 2]))
case(np.einsum, real(2, 2), by=lambda a: np.einsum("ij,jk,kl->il", a, a, a, optimize=True))
