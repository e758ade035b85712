"""Chains: which calls of a program are done together in one loop, and in which order all run.

A graph says what must come before what. Two calls over one shape join where one makes what the
other reads, or both read the same, the nearest first, unless something between them needs the one
and is needed by the other. Loops that follow each other then become one kernel.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tinygrad_fm.program.calls import takes_out
from tinygrad_fm.program.elements import is_flat, is_sum, loop_shape, memory_order
from tinygrad_fm.program.kernels import Kernel, Loop
from tinygrad_fm.program.values import Instruction, Value

# A kernel's call takes longer the more arrays it has, and its compilation the more loops.
LOOPS = 12
# Up to so many elements a call of NumPy costs more than its work, and a loop of its own gains.
SMALL = 4096


def worth(instructions: list[Instruction]) -> int:
    """What the loops of chains save at a call of the program, in the elements of fast.WORTH.

    A loop saves 0.1 to 0.2 ns for each element of each call of NumPy, and 0.4 us for the call.
    """
    shapes = [loop_shape(call) for call in instructions]
    return sum(math.prod(shape) // 5 + 600 for shape in shapes if shape is not None)


def fused(
    instructions: list[Instruction],
    wanted: Iterable[Value],
    returned: Iterable[Value],
    outside: Iterable[Value],
) -> list[Instruction]:
    """The instructions in an order in which chains are one each, of the kind "chain".

    Args:
        wanted: the values that are there when the program ends.
        returned: those of them that are arrays of their own.
        outside: those that are written into an optimizer's buffers.
    """
    groups = _Groups(instructions, {v.root for v in returned}, set(outside))
    groups.join()
    runs: list[list[int]] = []
    looping = False
    for group in groups.order():
        is_loop = groups.gains(group)
        if is_loop and looping and len(runs[-1]) < LOOPS:
            runs[-1].append(group)
        else:
            runs.append([group])
        looping = is_loop
    users: dict[Value, set[int]] = defaultdict(set)
    for i, instruction in enumerate(instructions):
        for value in instruction.operands:
            users[value].add(groups.of[i])
    for value in wanted:
        users[value].add(-1)
        users[value.root].add(-1)
    found = []
    for run in runs:
        members = [[instructions[i] for i in groups.members[g]] for g in run]
        if sum(map(len, members)) < 2:
            found += members[0]
        else:
            loops = [Loop.over(groups.shape[g] or (), m) for g, m in zip(run, members, strict=True)]
            stores = [
                m.results[0]
                for group, inside in zip(run, members, strict=True)
                for m in inside
                if users[m.results[0]] - {group}
            ]
            found.append(_chain(Kernel(loops, stores)))
    return found


def _chain(kernel: Kernel) -> Instruction:
    made = Instruction("chain", "chain", kernel, (tuple(kernel.reads),), {}, False)
    first = kernel.loops[0].members[0]
    made.results = kernel.stores
    made.scope, made.backward, made.origin = first.scope, first.backward, first.origin
    return made


def _shapes(
    instructions: list[Instruction], fresh: set[Value]
) -> dict[int, tuple[int, ...] | None]:
    """By the number of an instruction: the shape of its loop, if it may have one.

    A loop does not check lengths. So it reads only arrays whose shape is sure to be the traced one:
    not what a function made that may return another shape for other numbers.
    """
    found: dict[int, tuple[int, ...] | None] = {}
    sure: set[Value] = set()
    for i, call in enumerate(instructions):
        found[i] = loop_shape(call)
        for value in call.operands:
            root = value.root
            if value.shape and root.kind == "result" and root not in sure:
                found[i] = None
        planned = takes_out(call) and not fresh.intersection(call.results)
        if found[i] is not None and not planned and is_flat(call.results[0]):
            found[i] = None  # an array of its own is made in C order
        if planned or found[i] is not None:
            sure.update(r for r in call.results if r.shape)
    return found


class _Groups:
    """Instructions in groups; at first each is one of its own.

    Attributes:
        of: by the number of an instruction: its group.
        members: by group, the numbers of its instructions, in order.
        shape: by group: what its loop runs over, None for what is no loop.
    """

    def __init__(self, instructions: list[Instruction], fresh: set[Value], outside: set[Value]):
        self._instructions = instructions
        self.of = list(range(len(instructions)))
        self.members = {i: [i] for i in self.of}
        self.shape = _shapes(instructions, fresh)
        self._after: dict[int, set[int]] = {i: set() for i in self.of}
        self._link(outside)

    def _link(self, outside: set[Value]) -> None:
        """Note what must come before what."""
        makers: dict[Value, int] = {}
        has_gradient = any(
            v.root.kind == "gradient" for call in self._instructions for v in call.operands
        )
        barrier = written = ordered = previous = -1
        touching: dict[Value, list[int]] = defaultdict(list)  # by root
        lasting: list[int] = []  # those that read what lives outside
        for i, instruction in enumerate(self._instructions):
            before = {barrier}
            roots = set()
            gradient = False
            for value in instruction.operands:
                while True:
                    before.add(makers.get(value, -1))
                    if value.base is None:
                        break
                    value = value.base
                roots.add(value)
                gradient = gradient or value.kind == "gradient"
            roots |= {r.root for r in instruction.results}
            if instruction.ordered:
                before.add(ordered)
                ordered = i
            if any(root.kind != "result" for root in roots):
                before.add(written)
                lasting.append(i)
            if any(r.rewritten for r in instruction.results):
                before.update(lasting, *(touching[root] for root in roots))
                written = i
            if has_gradient and (gradient or any(r in outside for r in instruction.results)):
                before.add(previous)  # the gradient from before may lie where this is written
                previous = i
            if gradient:
                self.shape[i] = None
            if instruction.kind == "update":
                before.update(range(i))
                barrier = i
            for root in roots:
                touching[root].append(i)
            for result in instruction.results:
                makers[result] = i
            for j in before - {-1, i}:
                self._after[j].add(i)

    def join(self) -> None:
        """Put together what can be one loop."""
        readers: dict[Value, list[int]] = defaultdict(list)
        makers = {r: i for i, call in enumerate(self._instructions) for r in call.results}
        for i, call in enumerate(self._instructions):
            if self.shape[i] is not None:
                for value in dict.fromkeys(call.operands):
                    readers[value].append(i)
        pairs: list[tuple[bool, int, int, int]] = []  # first makers with readers, the nearest first
        for value, found in readers.items():
            maker = makers.get(value, -1)
            if maker >= 0 and self.shape[maker] is not None:
                pairs += [(False, j - maker, maker, j) for j in found]
            if value.shape:
                pairs += [(True, j - i, i, j) for i, j in itertools.pairwise(found)]
        for _, _, i, j in sorted(pairs):
            a, b = self.of[i], self.of[j]
            if a != b and self._order_of(a) == self._order_of(b) and self._may_join(a, b):
                self._merge(a, b)

    def _order_of(self, group: int) -> Any:
        """Over what its loop runs, and in which order of the memory."""
        (result,) = self._instructions[self.members[group][0]].results
        return self.shape[group], memory_order(result) if is_flat(result) else ()

    def _may_join(self, a: int, b: int) -> bool:
        calls = [self._instructions[i] for i in (*self.members[a], *self.members[b])]
        sums = {call.results[0] for call in calls if is_sum(call)}
        if any(value in sums for call in calls for value in call.operands):
            return False  # a sum is known when its loop has ended
        return not self._leads(a, b) and not self._leads(b, a)

    def _leads(self, a: int, b: int) -> bool:
        """Whether something else comes after a and before b."""
        seen = {a}
        waiting = [g for g in self._followers(a) if g != b]
        while waiting:
            group = waiting.pop()
            if group in seen:
                continue
            if group == b:
                return True
            seen.add(group)
            waiting += self._followers(group)
        return False

    def _followers(self, group: int) -> set[int]:
        return {self.of[j] for i in self.members[group] for j in self._after[i]} - {group}

    def _merge(self, a: int, b: int) -> None:
        for i in self.members[b]:
            self.of[i] = a
        self.members[a] = sorted((*self.members[a], *self.members.pop(b)))

    def gains(self, group: int) -> bool:
        """Whether it is a loop that a kernel should have."""
        return self._is_small(group) or len(self.members[group]) > 1

    def _is_small(self, group: int) -> bool:
        shape = self.shape[group]
        return shape is not None and math.prod(shape) <= SMALL

    def order(self) -> list[int]:
        """The groups, each after what it needs.

        Loops follow each other where they are small, or the one needs the other; all others stay
        in the order in which they came, as their results would take up memory for longer.
        """
        count = dict.fromkeys(self.members, 0)
        followers = {group: self._followers(group) for group in self.members}
        for found in followers.values():
            for group in found:
                count[group] += 1
        ready = [group for group, waits in count.items() if not waits]
        done: list[int] = []
        near: set[int] = set()  # what needs the loops of the kernel that is being filled
        while ready:
            joining = [g for g in ready if self.gains(g) and (g in near or self._is_small(g))]
            inside = bool(done) and self.gains(done[-1])
            group = min(joining if inside and joining else ready, key=self._place)
            ready.remove(group)
            near = (near | followers[group]) if self.gains(group) else set()
            done.append(group)
            for other in followers[group]:
                count[other] -= 1
                if not count[other]:
                    ready.append(other)
        return done

    def _place(self, group: int) -> int:
        """A group stands where the last of its instructions did."""
        return self.members[group][-1]
