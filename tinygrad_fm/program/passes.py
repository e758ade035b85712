"""Passes over the instructions of a trace: merge what is computed twice, drop what nobody needs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from tinygrad_fm.program.values import Instruction, Value, replaced


def merge(instructions: list[Instruction]) -> tuple[list[Instruction], dict[Value, Value]]:
    """Compute each expression once.

    Returns:
        the instructions that remain, and what stands for each value that a merged one had made.
    """
    written = {r.root for i in instructions for r in i.results if r.rewritten}
    found: dict[Hashable, Instruction] = {}
    stands: dict[Value, Value] = {}
    kept = []
    for instruction in instructions:
        instruction.args = replaced(instruction.args, lambda v: stands.get(v, v))
        instruction.keywords = replaced(instruction.keywords, lambda v: stands.get(v, v))
        for result in instruction.results:
            if result.base is not None:
                result.base = stands.get(result.base, result.base)
        mergeable = instruction.kind == "call" and not instruction.ordered
        if mergeable and not any(r.root in written for r in instruction.results):
            key = (
                id(instruction.function),
                _key(instruction.args),
                _key(tuple(sorted(instruction.keywords.items()))),
            )
            first = found.setdefault(key, instruction)
            if first is not instruction:
                stands.update(zip(instruction.results, first.results, strict=True))
                continue
        kept.append(instruction)
    return kept, stands


def _key(value: Any) -> Hashable:
    """Equal for arguments that are the same; told apart by type, so that 1 is not 1.0 or True."""
    if isinstance(value, (tuple, list)):
        return (type(value), *(_key(part) for part in value))
    if isinstance(value, slice):
        return (slice, _key((value.start, value.stop, value.step)))
    if isinstance(value, (float, np.floating)):
        return (type(value), repr(value))  # -0.0 is not 0.0
    if value is None or isinstance(value, (bool, int, str, np.dtype)):
        return (type(value), value)
    return id(value)  # Values, and objects that live as long as the instructions do


def needed(instructions: list[Instruction], wanted: Iterable[Value]) -> list[Instruction]:
    """The instructions with an effect, and those whose results are used or `wanted`."""
    used: set[Value] = set()
    for value in wanted:
        _use(value, used)
    kept = []
    for instruction in reversed(instructions):
        plain = instruction.kind == "call" and not instruction.ordered
        if plain and not any(result in used for result in instruction.results):
            continue
        kept.append(instruction)
        for value in instruction.operands:
            _use(value, used)
    return kept[::-1]


def _use(value: Value, used: set[Value]) -> None:
    """A view needs what it is a view of."""
    while True:
        used.add(value)
        if value.base is None:
            break
        value = value.base
