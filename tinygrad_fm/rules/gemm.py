"""The product of matrices of NumPy's own library, as a function that compiled loops call."""

from __future__ import annotations

import ctypes
import functools
import importlib
import sys
from typing import Any

import numpy as np

from tinygrad_fm import fast

# as NumPy's wheels name it, and as other builds do; the latter with integers of 32 bits, as which
# those that are handed over here are read too, where each has 8 bytes of the stack
NAMES = ("scipy_cblas_{}gemm64_", "cblas_{}gemm64_", *("cblas_{}gemm",) * (sys.platform == "linux"))
BY_ROWS, AS_IT_LIES, TRANSPOSED = 101, 111, 112


@functools.cache
def address(dtype: str) -> int:
    """Where the function is in memory; 0 where it is not found, or does not multiply as it should.

    Args:
        dtype: "float32" or "float64".
    """
    letter = {"float32": "s", "float64": "d"}[dtype]
    try:
        # what this module has loaded is found through it
        loaded = ctypes.CDLL(importlib.import_module("numpy._core._multiarray_umath").__file__)
    except (ImportError, OSError):
        return 0
    for name in NAMES:
        function = getattr(loaded, name.format(letter), None)
        if function is not None:
            return _checked(function, np.dtype(dtype))
    return 0


def _checked(function: Any, dtype: Any) -> int:
    a, b = np.arange(6, dtype=dtype).reshape(2, 3), np.arange(12, dtype=dtype).reshape(3, 4)
    made = np.ones((2, 4), dtype)
    number = ctypes.c_float if dtype == np.float32 else ctypes.c_double
    size, place = ctypes.c_int64, ctypes.c_void_p
    function.restype = None
    function.argtypes = [
        *(ctypes.c_int,) * 3,
        *(size,) * 3,
        *(number, place, size, place, size, number, place, size),
    ]
    order = BY_ROWS, AS_IT_LIES, AS_IT_LIES, 2, 4, 3
    function(*order, 1, a.ctypes.data, 3, b.ctypes.data, 4, 1, made.ctypes.data, 4)
    right = np.array_equal(made, a @ b + 1)
    return (ctypes.cast(function, ctypes.c_void_p).value or 0) if right else 0


def compiled() -> Any:
    """multiply(address, turned, (m, n, k), a, b, kept, c), for loops that Numba compiles.

    c is `kept` times what it was, plus a @ b; or a.T @ b where `turned` is 1. Each of the three is
    a flat array, the place of the matrix's first number in it, and how many numbers lie from one of
    its rows to the next. a is m by k (or k by m), b is k by n. None as long as Numba is not loaded.
    """
    if not fast.is_loaded():
        return None
    extending: Any = importlib.import_module("numba.extending")
    types: Any = importlib.import_module("numba.core.types")
    ir: Any = importlib.import_module("llvmlite.ir")
    whole, short = ir.IntType(64), ir.IntType(32)

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def multiply(
        context: Any, address: Any, turned: Any, mnk: Any, a: Any, b: Any, kept: Any, c: Any
    ) -> Any:
        sizes = types.UniTuple(types.int64, 3)
        matrices = [types.Tuple((m[0], types.int64, types.int64)) for m in (a, b, c)]
        left, right, result = matrices
        signature = types.void(types.int64, types.int64, sizes, left, right, a[0].dtype, result)

        def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
            function, turned, mnk, left, right, kept, result = given

            def parts(kind: Any, matrix: Any) -> tuple[Any, Any]:
                array, start, row = (builder.extract_value(matrix, i) for i in range(3))
                data = context.make_array(kind[0])(context, builder, array).data
                return builder.ptrtoint(builder.gep(data, [start]), whole), row

            lies, other = ir.Constant(short, AS_IT_LIES), ir.Constant(short, TRANSPOSED)
            arguments = [
                ir.Constant(short, BY_ROWS),
                builder.select(builder.trunc(turned, ir.IntType(1)), other, lies),
                lies,
                *(builder.extract_value(mnk, i) for i in range(3)),
                ir.Constant(context.get_value_type(a[0].dtype), 1.0),
                *parts(matrices[0], left),
                *parts(matrices[1], right),
                kept,
                *parts(matrices[2], result),
            ]
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in arguments])
            builder.call(builder.inttoptr(function, kind.as_pointer()), arguments)
            return context.get_dummy_value()

        return signature, generate

    return multiply
