"""What Python has no words for, as functions that loops compiled by Numba call."""

from __future__ import annotations

import functools
import importlib
from types import SimpleNamespace
from typing import Any

from tinygrad_fm import fast

NAMES = "get", "put", "swap", "call", "let_run", "write", "reader"


def instructions() -> SimpleNamespace:
    """NAMES; see each. They are None as long as Numba is not loaded.

    `words` are a flat array of int64. What is got, put and swapped is so for all threads, in one
    order.
    """
    return _made() if fast.is_loaded() else SimpleNamespace(**dict.fromkeys(NAMES))


@functools.cache
def _made() -> SimpleNamespace:
    extending: Any = importlib.import_module("numba.extending")
    types: Any = importlib.import_module("numba.core.types")
    ir: Any = importlib.import_module("llvmlite.ir")
    order, word, whole = "seq_cst", ir.IntType(64), types.int64

    def place(context: Any, builder: Any, kind: Any, words: Any, i: Any) -> Any:
        array = context.make_array(kind)(context, builder, words)
        return builder.gep(array.data, [i])

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def get(context: Any, words: Any, i: Any) -> Any:
        """words[i]."""

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            at = place(context, builder, signature.args[0], *given)
            return builder.load_atomic(at, order, 8)

        return whole(words, whole), generate

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def put(context: Any, words: Any, i: Any, value: Any) -> Any:
        """words[i] = value."""

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            at = place(context, builder, signature.args[0], *given[:2])
            builder.store_atomic(given[2], at, order, 8)
            return context.get_dummy_value()

        return types.void(words, whole, whole), generate

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def swap(context: Any, words: Any, i: Any, old: Any, new: Any) -> Any:
        """Put `new` into words[i] if `old` is there; whether it was."""

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            at = place(context, builder, signature.args[0], *given[:2])
            found = builder.cmpxchg(at, given[2], given[3], order, order)
            return builder.extract_value(found, 1)

        return types.boolean(words, whole, whole, whole), generate

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def call(context: Any, function: Any, words: Any, i: Any) -> Any:
        """What the function at an address returns for words from the i-th on, its arguments."""

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            at = place(context, builder, signature.args[1], *given[1:])
            kind = ir.FunctionType(word, [word]).as_pointer()
            return builder.call(builder.inttoptr(given[0], kind), [builder.ptrtoint(at, word)])

        return whole(whole, words, whole), generate

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def let_run(context: Any, function: Any) -> Any:
        """Call the system's function at an address, which lets another thread run."""

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            kind = ir.FunctionType(ir.IntType(32), []).as_pointer()
            builder.call(builder.inttoptr(given[0], kind), [])
            return context.get_dummy_value()

        return types.void(whole), generate

    def lent(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        """Without the owners of arrays: who lends them waits until they are given back."""
        if isinstance(kind, types.Array):
            for i, owner in enumerate(context.get_value_type(kind).elements[:2]):
                value = builder.insert_value(value, ir.Constant(owner, None), i)
        elif isinstance(kind, types.BaseTuple):
            for i, one in enumerate(kind.types):
                part = lent(context, builder, one, builder.extract_value(value, i))
                value = builder.insert_value(value, part, i)
        return value

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def write(context: Any, words: Any, i: Any, arguments: Any) -> Any:
        """Arguments, a tuple, into words from the i-th on, if there are enough; how many it takes.

        The arrays are to be there as long as they are read.
        """

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            kind = context.get_value_type(arguments)
            size = ir.Constant(word, -(-context.get_abi_sizeof(kind) // 8))
            array = context.make_array(signature.args[0])(context, builder, given[0])
            end = builder.add(given[1], size)
            with builder.if_then(builder.icmp_signed("<=", end, array.nitems)):
                at = place(context, builder, signature.args[0], *given[:2])
                into = builder.bitcast(at, kind.as_pointer())
                builder.store(lent(context, builder, arguments, given[2]), into, align=8)
            return size

        return whole(words, whole, arguments), generate

    def reader(kinds: Any) -> Any:
        """read(address), the arguments of these types that `write` left there."""
        arguments = types.Tuple(kinds)

        @extending.intrinsic  # type: ignore[untyped-decorator]
        def read(context: Any, address: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
                kind = context.get_value_type(arguments)
                return builder.load(builder.inttoptr(given[0], kind.as_pointer()), align=8)

            return arguments(whole), generate

        return read

    made = get, put, swap, call, let_run, write, reader
    return SimpleNamespace(**dict(zip(NAMES, made, strict=True)))
