"""Small squares of a matrix transposed in registers, as a function that compiled loops call.

By loops, a processor stores one number at a time; to transpose squares by vectors takes a third to
a fifth of that time, and compilers do not find the way.
"""

from __future__ import annotations

import importlib
from typing import Any

from tinygrad_fm import fast

SIDE = 8  # numbers: a power of two


def compiled() -> Any:
    """transpose(x, a, beside, y, b, apart), for loops that Numba compiles.

    The square of SIDE rows, `beside` numbers from one to the next, that begins at place a of x is
    written to place b of y, as columns of rows that lie `apart`. Both arrays are flat. None as long
    as Numba is not loaded.
    """
    if not fast.is_loaded():
        return None
    extending: Any = importlib.import_module("numba.extending")
    types: Any = importlib.import_module("numba.core.types")
    ir: Any = importlib.import_module("llvmlite.ir")
    whole, short, index = types.int64, ir.IntType(32), ir.IntType(64)

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def transpose(context: Any, x: Any, a: Any, beside: Any, y: Any, b: Any, apart: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            line = ir.VectorType(context.get_data_type(x.dtype), SIDE)
            size = x.dtype.bitwidth // 8  # lines begin anywhere

            def places(kind: Any, array: Any, start: Any, step: Any) -> list[Any]:
                data = context.make_array(kind)(context, builder, array).data
                starts = [
                    builder.add(start, builder.mul(step, ir.Constant(index, i)))
                    for i in range(SIDE)
                ]
                return [builder.bitcast(builder.gep(data, [s]), line.as_pointer()) for s in starts]

            lines = [builder.load(place, align=size) for place in places(x, *given[:3])]
            far = SIDE // 2
            while far:  # of squares of 2 * far the upper right and the lower left one change places
                for i in (i for i in range(SIDE) if not i & far):
                    upper, lower = lines[i], lines[i + far]
                    left = [j if not j & far else SIDE + j - far for j in range(SIDE)]
                    right = [j + far if not j & far else SIDE + j for j in range(SIDE)]
                    for row, numbers in ((i, left), (i + far, right)):
                        mask = ir.Constant(ir.VectorType(short, SIDE), numbers)
                        lines[row] = builder.shuffle_vector(upper, lower, mask)
                far //= 2
            for row, place in zip(lines, places(y, *given[3:]), strict=True):
                builder.store(row, place, align=size)
            return context.get_dummy_value()

        return types.void(x, whole, whole, y, whole, whole), generate

    return transpose
