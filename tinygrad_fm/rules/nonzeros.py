"""Which numbers are zero, and sums over those that are not, as functions that compiled loops call.

They are made of masks and vectors, which compilers do not find in loops that leave numbers out.
"""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

from tinygrad_fm import fast

VECTOR = 64  # bytes
COUNT = 8  # vectors that are summed at a time


def compiled() -> Any:
    """Functions for loops that Numba compiles; all None as long as it is not loaded.

    Arrays are in C order, and places in them are counted as if they were flat.

    - lanes(x): the numbers of a vector.
    - which(x, a): which of the vector from place a on are not zero, as bits of a whole number.
    - count(bits): how many are 1.
    - add(x, a, step, bits, w, b, apart, y, c, fresh): to COUNT vectors of y from place c on, or to
      zeros if `fresh`, adds those of w from place b + i * apart, times the number of x at
      a + i * step, for each bit i that is 1: one after the other, by fused multiply-adds.
    """
    if not fast.is_loaded():
        return SimpleNamespace(lanes=None, which=None, count=None, add=None)
    extending: Any = importlib.import_module("numba.extending")
    types: Any = importlib.import_module("numba.core.types")
    place, word = types.int64, types.uint64

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def lanes(context: Any, x: Any) -> Any:
        return place(x), lambda *given: _Vectors(*given).lanes()

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def which(context: Any, x: Any, a: Any) -> Any:
        return word(x, place), lambda *given: _Vectors(*given).which()

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def count(context: Any, bits: Any) -> Any:
        return place(word), lambda context, builder, signature, given: builder.ctpop(*given)

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def add(
        context: Any, x: Any, a: Any, step: Any, bits: Any,
        w: Any, b: Any, apart: Any, y: Any, c: Any, fresh: Any,
    ) -> Any:  # fmt: skip
        kinds = x, place, place, word, w, place, place, y, place, types.boolean
        return types.void(*kinds), lambda *given: _Vectors(*given).add()

    return SimpleNamespace(lanes=lanes, which=which, count=count, add=add)


class _Vectors:
    """What the compiler is told to do with vectors of the dtype of a call's first argument."""

    def __init__(self, context: Any, builder: Any, signature: Any, given: Any):
        self.builder, self.context = builder, context
        self.ir: Any = importlib.import_module("llvmlite.ir")
        dtype = signature.args[0].dtype
        self.size = dtype.bitwidth // 8
        self.many = VECTOR // self.size
        self.kind = self.ir.VectorType(context.get_data_type(dtype), self.many)
        self.index, self.short = self.ir.IntType(64), self.ir.IntType(32)
        self.zero = self.ir.Constant(self.kind, None)
        # of an array, where its numbers begin
        self.given = [
            context.make_array(kind)(context, builder, value).data
            if hasattr(kind, "dtype")
            else value
            for kind, value in zip(signature.args, given, strict=True)
        ]

    def whole(self, value: int) -> Any:
        return self.ir.Constant(self.index, value)

    def lanes(self) -> Any:
        return self.whole(self.many)

    def vector(self, numbers: Any, at: Any, i: int = 0) -> Any:
        """Where the vector begins that is i vectors behind a place."""
        b = self.builder
        start = b.gep(numbers, [b.add(at, self.whole(i * self.many))])
        return b.bitcast(start, self.kind.as_pointer())

    def load(self, numbers: Any, at: Any, i: int = 0) -> Any:
        return self.builder.load(self.vector(numbers, at, i), align=self.size)

    def which(self) -> Any:
        b = self.builder
        differ = b.fcmp_unordered("!=", self.load(*self.given), self.zero)  # as a NaN does
        return b.zext(b.bitcast(differ, self.ir.IntType(self.many)), self.index)

    def add(self) -> Any:
        b, ir = self.builder, self.ir
        x, a, step, bits, w, begin, apart, y, c, fresh = self.given
        before = [b.select(fresh, self.zero, self.load(y, c, i)) for i in range(COUNT)]
        entry = b.block
        head, body, end = (b.append_basic_block(name) for name in ("head", "body", "end"))
        b.branch(head)

        b.position_at_end(head)
        left, totals = b.phi(self.index), [b.phi(self.kind) for _ in before]
        b.cbranch(b.icmp_unsigned("!=", left, self.whole(0)), body, end)

        b.position_at_end(body)
        bit = b.cttz(left, ir.Constant(ir.IntType(1), 1))
        number = self.repeated(b.load(b.gep(x, [b.add(a, b.mul(bit, step))])))
        row = b.add(begin, b.mul(bit, apart))
        after = [self.fused(number, self.load(w, row, i), total) for i, total in enumerate(totals)]
        rest = b.and_(left, b.sub(left, self.whole(1)))
        b.branch(head)
        for value, first, then in zip(
            (left, *totals), (bits, *before), (rest, *after), strict=True
        ):
            value.add_incoming(first, entry)
            value.add_incoming(then, body)

        b.position_at_end(end)
        for i, total in enumerate(totals):
            b.store(total, self.vector(y, c, i), align=self.size)
        return self.context.get_dummy_value()

    def repeated(self, number: Any) -> Any:
        """A vector of one number."""
        ir, nothing = self.ir, self.ir.Constant(self.kind, self.ir.Undefined)
        first = self.builder.insert_element(nothing, number, ir.Constant(self.short, 0))
        order = ir.Constant(ir.VectorType(self.short, self.many), [0] * self.many)
        return self.builder.shuffle_vector(first, nothing, order)

    def fused(self, x: Any, y: Any, z: Any) -> Any:
        """x * y + z, rounded once."""
        name, module = f"llvm.fma.v{self.many}f{8 * self.size}", self.builder.module
        kind = self.ir.FunctionType(self.kind, [self.kind] * 3)
        known = module.globals.get(name)
        return self.builder.call(known or self.ir.Function(module, kind, name), [x, y, z])
