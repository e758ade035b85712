"""What a program consists of, in words and numbers."""

from __future__ import annotations

import numpy as np

from tinygrad_fm.engine import Constant, Node
from tinygrad_fm.graph.facts import flops
from tinygrad_fm.graph.model import count
from tinygrad_fm.program.build import Program
from tinygrad_fm.program.plan import size
from tinygrad_fm.program.values import Instruction, Value, values_in


def explain(program: Program) -> str:
    """A page about a program; see Compiled.explain."""
    instructions, plan = program.instructions, program.plan
    given = ", ".join(_described(v, name) for v, name in program.traced.inputs.items())
    counts = [flops_of(i) for i in instructions if i.kind == "call"]
    known = sum(c for c in counts if c is not None)
    apart = sum(value.bytes for value in plan.slots)
    factored = len(program.outer.by_value)
    lines = [
        f"{program.name}, compiled for {given or 'no arrays'}",
        f"  {len(program.traced.trace.instructions)} operations traced"
        + "".join(f", {n} {what}" for what, n in program.removed.items() if n)
        + f": {len(instructions)} left",
        f"  {size(program.bytes)} of buffers for {len(plan.slots)} results "
        f"({size(apart)} without sharing)",
        f"  {len(plan.outside) - factored} gradients written straight into an optimizer's buffers",
        *(
            [f"  {factored} gradients that stay a column and a row until the update"]
            if factored
            else []
        ),
        f"  {count(known, 'FLOP')} a call"
        + (", without functions of your own" if None in counts else ""),
    ]
    kernels = [kernel for _, kernel, _ in program.text.kernels.values()]
    if kernels:
        calls = sum(kernel.calls for kernel in kernels)
        lines.append(f"  {calls} calls fused into {len(kernels)} kernels")
    wide = [i for i in instructions if _widens(i)]
    if wide:
        lines.append("  float64 arrays in a float32 program:")
        lines += [f"    {i.name}{_at(i)}" for i in wide]
    constants = _constants(instructions)
    if constants:
        lines.append("  arrays that went in as they were in the second call:")
        lines += [f"    {_described(value, '')} in {i.name}{_at(i)}" for value, i in constants]
    ordered = [i for i in instructions if i.ordered]
    if ordered:
        lines.append("  done in this order:")
        lines += [f"    {_WHAT[i.kind]} {i.name}{_at(i)}" for i in ordered]
    return "\n".join(lines)


_WHAT = {"call": "draw", "assign": "write:", "check": "check", "update": "update by"}


def flops_of(instruction: Instruction) -> int | None:
    """Floating-point operations of a call; None where they are not known."""
    if instruction.primitive is None or instruction.several:
        return None
    (result,) = instruction.results
    inputs = tuple(
        Constant(a.shape, a.dtype) if isinstance(a, Value) else a for a in instruction.args
    )
    keywords = {k: v for k, v in instruction.keywords.items() if not isinstance(v, Value)}
    node = Node(
        instruction.primitive, inputs, None, keywords, None, result.shape, result.dtype, False
    )
    return flops(node)


def _widens(instruction: Instruction) -> bool:
    """Whether float64 comes out where float32 goes in."""
    if instruction.kind != "call":
        return False
    dtypes = {v.dtype for v in instruction.operands if v.shape}
    wide = any(r.dtype == np.float64 and r.shape for r in instruction.results)
    return wide and np.dtype(np.float32) in dtypes


def _constants(instructions: list[Instruction]) -> list[tuple[Value, Instruction]]:
    found: dict[Value, Instruction] = {}
    for instruction in instructions:
        for value in values_in((instruction.args, instruction.keywords)):
            if value.kind == "constant":
                found.setdefault(value, instruction)
    return list(found.items())


def _described(value: Value, name: str) -> str:
    shape = " × ".join(map(str, value.shape)) or "number"
    return f"{name} {shape} {value.dtype}".strip()


def _at(instruction: Instruction) -> str:
    place = instruction.line.rpartition("/")[2]
    return f" ({', '.join(p for p in (instruction.scope, place) if p)})" if place else ""
