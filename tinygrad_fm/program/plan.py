"""The memory of a program: which results share bytes, as one is dead before the other lives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_fm.program.calls import is_elementwise, takes_out
from tinygrad_fm.program.values import Instruction, Value

LINE = 64  # bytes of a cache line, on which every buffer begins


class Slot:
    """A stretch of memory for one value, or for several that follow each other in place.

    Attributes:
        first, last: the instructions from and to which its bytes are taken, both included.
        offset: of its first byte.
    """

    __slots__ = ("bytes", "first", "last", "offset")

    def __init__(self, size: int, first: int, last: int):
        self.bytes = -(-size // LINE) * LINE
        self.first = first
        self.last = last
        self.offset = -1


class Plan:
    """Where the results of the instructions lie.

    Attributes:
        slots: by the value that owns the memory; a value without one is made anew at each call.
        outside: the values that are written straight into an array that lives outside.
        bytes: of all slots together.
    """

    def __init__(
        self,
        instructions: list[Instruction],
        returned: Iterable[Value],
        outside: dict[Value, Any],
    ):
        self.slots: dict[Value, Slot] = {}
        self.outside = outside
        self._last = last_uses(instructions)
        fresh = {value.root for value in returned}
        for i, instruction in enumerate(instructions):
            if instruction.kind != "chain" and not takes_out(instruction):
                continue
            for result in instruction.results:
                elsewhere = result.base is not None or result in fresh or result in outside
                if elsewhere or not result.shape or not result.bytes:
                    continue
                slot = self._in_place(i, instruction, result)
                if slot is None:
                    slot = Slot(result.bytes, i, i)
                slot.last = max(slot.last, self._last.get(result, i))
                self.slots[result] = slot
        self.bytes = pack(set(self.slots.values()))

    def _in_place(self, i: int, call: Instruction, result: Value) -> Slot | None:
        """The slot of an argument that ends here, if the result can take its place."""
        if not is_elementwise(call):
            return None
        for value in call.operands:
            slot = self.slots.get(value.root)
            if (
                slot is not None
                and slot.last == i
                and (value.shape, value.dtype, value.strides)
                == (result.shape, result.dtype, result.strides)
                and value.bytes == value.root.bytes
            ):
                return slot
        return None


def size(count: int) -> str:
    """A number of bytes, in words."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def last_uses(instructions: list[Instruction]) -> dict[Value, int]:
    """By the value that owns the memory: the last instruction that reads or writes it."""
    last: dict[Value, int] = {}
    for i, instruction in enumerate(instructions):
        for value in (*instruction.operands, *instruction.results):
            last[value.root] = i
    return last


def pack(slots: set[Slot]) -> int:
    """Give each slot an offset such that no two that live at one time overlap; the total size.

    The largest come first, each at the lowest offset that is free: what remains are small gaps.
    """
    placed: list[Slot] = []
    for slot in sorted(slots, key=lambda s: (-s.bytes, s.first, s.last)):
        beside = [s for s in placed if s.first <= slot.last and slot.first <= s.last]
        offset = 0
        for other in sorted(beside, key=lambda s: s.offset):
            if other.offset - offset >= slot.bytes:
                break
            offset = max(offset, other.offset + other.bytes)
        slot.offset = offset
        placed.append(slot)
    return max((slot.offset + slot.bytes for slot in placed), default=0)
