"""More cases of the test matrix: what moves elements, networks, and what is constant."""

from functools import partial

import numpy as np
from cases import MASK, apart, case, integers, real, unit

from tinygrad_fm.rules.elementwise import astype
from tinygrad_fm.rules.indexing import getitem, scatter_add, set_at
from tinygrad_fm.rules.reductions import product_of_others
from tinygrad_fm.transforms import _alias

# ---- shapes ------------------------------------------------------------------------------------

case(np.reshape, real(2, 3), (3, 2))
case(np.reshape, real(2, 3), (1, -1), order="F")
case(np.reshape, real(2, 3), by=lambda x: x.reshape(3, 2).reshape(-1).reshape((2, 3)))
case(np.reshape, real(), (1, 1))
case(np.ravel, real(2, 3))
case(np.ravel, real(2, 3), order="F")
case(np.ravel, real(2, 3), by=lambda x: x.flatten() * x.ravel("F"))
case(np.transpose, real(2, 3))
case(np.transpose, real(2, 3, 2), (1, 2, 0))
case(np.transpose, real(2, 3, 2), axes=(-1, 0, 1))
case(np.transpose, real(2, 3), by=lambda x: x.T + x.transpose() + x.transpose(1, 0) + x.mT)
case(np.swapaxes, real(2, 3, 2), 0, -1)
case(np.moveaxis, real(2, 3, 2), 0, -1)
case(np.moveaxis, real(2, 3, 2), (0, 1), (-1, 0))
case(np.squeeze, real(1, 3, 1))
case(np.squeeze, real(1, 3, 1), axis=0)
case(np.squeeze, real(1, 3, 1), axis=(0, -1))
case(np.expand_dims, real(2, 3), 1)
case(np.expand_dims, real(2, 3), (0, -1))
case(np.broadcast_to, real(3), (2, 3))
case(np.broadcast_to, real(2, 1, 3), (2, 2, 2, 3))
case(np.broadcast_to, real(), (2, 2))
case(np.flip, real(2, 3))
case(np.flip, real(2, 3), axis=0)
case(np.flip, real(2, 3, 2), axis=(0, -1))
case(np.roll, real(2, 3), 2)
case(np.roll, real(2, 3), -1, axis=1)
case(np.roll, real(2, 3), (1, 2), axis=(0, 1))

# ---- joining, cutting, repeating ---------------------------------------------------------------

JOIN = {
    np.concatenate: [
        ({}, (2, 3), (1, 3)),
        ({"axis": -1}, (2, 1), (2, 2)),
        ({"axis": None}, (2,), (1, 2)),
    ],
    np.stack: [({}, (2, 3), (2, 3)), ({"axis": 1}, (2, 3), (2, 3)), ({"axis": -1}, (2,), (2,))],
}
for function, forms in JOIN.items():
    for keywords, left, right in forms:
        joined = partial(lambda f, options, a, b: f([a, b], **options), function, keywords)
        case(function, real(*left), real(*right), by=joined)
case(np.concatenate, real(2, 3), by=lambda x: np.concatenate((x, np.ones_like(x), x)))
case(np.concatenate, real(3), by=lambda x: np.concatenate([[1.0, 2.0], x]), plain=True)
case(np.stack, real(), real(), by=lambda a, b: np.stack([a, b, 2.0]), plain=True)
case(np.split, real(4, 3), by=lambda x: np.split(x, 2)[1])
case(np.split, real(4, 3), by=lambda x: sum(p * k for k, p in enumerate(np.split(x, 3, axis=1))))
case(np.split, real(4, 3), by=lambda x: np.exp(np.split(x, [1, 3])[1]) * np.split(x, (2,))[0])
case(np.repeat, real(2, 3), 2)
case(np.repeat, real(2, 3), 2, axis=-1)
case(np.repeat, real(2, 3), [1, 0, 2], axis=1)
case(np.tile, real(2, 3), 2)
case(np.tile, real(2, 3), (2, 1))
case(np.tile, real(3), (2, 1, 2))
case(np.tile, real(2, 1, 2), (2,))
case(np.pad, real(2, 3), 1)
case(np.pad, real(2, 3), ((1, 0), (0, 2)))
case(np.pad, real(3), (2, 1), constant_values=7.0)
if np.lib.NumpyVersion(np.__version__) >= "2.3.0":
    case(np.pad, real(2, 3), {-1: (1, 2)})
for mode in ("edge", "reflect", "symmetric", "wrap"):
    case(np.pad, real(2, 3), 1, mode=mode)
    case(np.pad, real(3), (1, 2), mode=mode)

# ---- indexing ----------------------------------------------------------------------------------

INDICES = {
    "int": (1,),
    "negative": (-1, 2),
    "slice": (slice(1, None),),
    "steps": (slice(None, None, 2), slice(None, None, -1)),
    "none": (None, slice(None), None, 1),
    "ellipsis": (Ellipsis, 0),
    "empty": (slice(3, 3),),
    "integers": (integers(2, 0, 2),),
    "pair": (integers(2, 0, 2), integers(1, 1, 1)),
    "grid": (integers([0], [2]), integers(0, -1, 0)),
    "list": ([0, 0, 2], 1),
    "mixed": (slice(None), integers(1, 1)),
    "apart": (integers(0, 0, 1), None, integers(3, 3, 1)),
    "mask": (MASK,),
    "row mask": (MASK[:, 0], slice(1, 3)),
    "mask, integers": (MASK[:, 0], integers(1, 1)),
}
for index in INDICES.values():
    case(getitem, real(3, 4), by=partial(lambda i, x: x[i], index if len(index) > 1 else index[0]))
case(getitem, real(3, 4), integers(0, 0, 1), by=lambda x, i: x[i])
case(getitem, real(3, 4), integers(-1, 2, -1), by=lambda x, i: x[i])
case(getitem, real(3, 4), by=lambda x: x[x > 0.5])
case(getitem, apart(3, 4), by=lambda x: x[np.argmax(x, axis=0), 1])
case(np.take, real(3, 4), integers([1, 1], [5, 0]))
case(np.take, real(3, 4), integers(1, 1, 3), axis=1)
case(np.take, apart(3, 4), by=lambda x: np.take(x, np.argmax(x, axis=0), axis=0) * x.take(1))
for index in INDICES.values():
    g = np.zeros((3, 4))[index].shape
    parts = [np.array(p) if isinstance(p, list) else p for p in index]
    case(scatter_add, real(*g), by=partial(lambda i, g: scatter_add(g, *i, shape=(3, 4)), parts))


def assigned(index, x, value):
    """`x[index] = value` on a copy."""
    x = x * x
    x[index] = value * value
    return x


for index in INDICES.values():
    shape = np.zeros((3, 4))[index].shape
    case(set_at, real(3, 4), real(*shape), by=partial(assigned, index))
case(set_at, real(3, 4), real(), by=partial(assigned, (integers(1, 1), integers(0, 0))))
case(set_at, real(3, 4), real(4), by=partial(assigned, slice(1, None)))
case(set_at, real(3, 4), real(1, 4), by=partial(assigned, integers(1, 1)))
case(set_at, real(3, 4), real(3, 1), by=partial(assigned, integers(1, 0, 0)))
case(set_at, real(3, 4), real(3, 1), by=partial(assigned, integers(2, -1, -1)))
case(set_at, real(3, 4), by=lambda x: assigned(1, x, 2.0))
case(set_at, real(3, 4), by=lambda x: assigned(x > 0.5, x, 2.0) * x)
case(set_at, apart(3, 4), real(4), by=lambda x, v: assigned((np.argmax(x, axis=0), 1), x, v))
case(set_at, real(4), by=lambda x: assigned(slice(1, 3), np.zeros_like(x), x[1:3]))


def changed(x, y):
    """Every operator in place, and `out=`."""
    z = x * 1
    z += y
    z *= y
    z -= x
    z /= y
    z **= 2
    np.multiply(z, y, out=z)
    return z


case(np.add, real(2, 3), real(2, 3), by=changed)

# ---- what only the library itself calls --------------------------------------------------------

case(_alias, real(2, 3))
case(astype, real(2, 3), by=lambda x: x.astype(np.float64) * x)
case(product_of_others, real(2, 3))
case(product_of_others, np.array([0.0, 2.0, 3.0]))
case(product_of_others, real(1))

# ---- recorded, but constant --------------------------------------------------------------------

for function in (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal):
    case(function, real(2, 3), real(3))
for function in (np.logical_and, np.logical_or, np.logical_xor, np.isclose, np.floor_divide):
    case(function, real(2, 3), real(3))
for function in (np.bitwise_and, np.bitwise_or, np.bitwise_xor):
    case(function, real(3), by=partial(lambda f, x: f(x > 0, x > 1), function))
for function in (np.left_shift, np.right_shift):
    case(function, real(3), by=partial(lambda f, x: f(np.argmax(x), 1), function))
case(np.invert, real(3), by=lambda x: ~(x > 0))
for function in (np.logical_not, np.isnan, np.isinf, np.isfinite, np.signbit, np.isneginf):
    case(function, real(2, 3))
for function in (np.isposinf, np.floor, np.ceil, np.trunc, np.rint, np.fix, np.sign):
    case(function, real(2, 3))
for function in (np.zeros_like, np.ones_like, np.argsort, np.argmax, np.argmin, np.all, np.any):
    case(function, real(2, 3))
case(np.empty_like, real(2, 3), by=lambda x: np.empty_like(x) * 0)
case(np.round, real(2, 3), decimals=1)
case(np.count_nonzero, real(2, 3), axis=0)
case(np.searchsorted, np.array([0.0, 1.0, 2.0]), unit(2))
