"""Gradient checkpointing: less memory for one more forward computation.

What is recorded under `checkpoint` is an ordinary graph whose nodes keep no arrays. The first of
them that the backward pass reaches runs the function again, watches what its operations keep, and
hands that out, node by node.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import GraphError, Node, Recomputed, quoted, state
from tinygrad_fm.engine.node import Observer
from tinygrad_fm.graph.undisturbed import Undisturbed, put_state, state_of
from tinygrad_fm.recorded import make
from tinygrad_fm.recording import enable_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.trees import leaves, map_tree


def checkpoint(function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """`function(*args, **keywords)`, whose inside is computed again for the backward pass.

        h = tg.checkpoint(block, x)       # a module, or any function; x and parameters are kept
        loss = criterion(head(h), y)
        loss.backward()                   # runs block again, then differentiates it

    Of what the function computes nothing stays in memory but its result, so n equal blocks need
    the memory of about one, for one more forward computation. Gradients, of any order, reach the
    arguments and whatever else the function refers to: parameters, and Tensors of its surroundings.
    The same bits come out: the second run starts from the same states of random generators, buffers
    (running statistics, which are moved once only), parameters and training modes as the first,
    as far as modules, arguments, and variables of the function hold them. Checkpoints may stand in
    one another. Where nothing is recorded, and in a compiled step, whose memory is planned, this is
    a plain call.

    Args:
        function: what it does depends on nothing else that changes, such as a counter or a clock.
        *args, **keywords: its arguments; Tensors among them, also in tuples, lists and
            dictionaries, are kept until the backward pass.

    Returns:
        what the function returns: a Tensor, or several in tuples, lists or dictionaries.

    Raises (in the backward pass):
        GraphError: an array that the function read was changed in place since, or the second run
            made other operations, shapes or numbers than the first.

    Source: Chen, Xu, Zhang, Guestrin: Training deep nets with sublinear memory cost (2016).
    """
    if not callable(function):
        raise TypeError(
            f"checkpoint takes a function or a module, and then its arguments, not "
            f"{function!r:.60}; write tg.checkpoint(block, x), not tg.checkpoint(block(x))"
        )
    if not state.mode.recording or state.mode.trace is not None:
        return function(*args, **keywords)
    return _Run(function, args, keywords).first(args, keywords)


class _Run(Recomputed):
    """A call of `checkpoint`: how to make it again, and what the operations inside need then."""

    def __new__(cls, *_given: Any) -> _Run:
        """The empty tuple that a node's `args` are."""
        return super().__new__(cls)

    def __init__(self, function: Callable[..., Any], args: Any, keywords: Any):
        self._function = function
        self._given = map_tree(_bound, (args, keywords))
        self.holds = [
            (value.node, value.data) if isinstance(value, Tensor) else (None, value)
            for value in leaves(self._given)
        ]
        self._scope = state.mode.scope
        self._traces = state.mode.traces
        self._surroundings = _Surroundings(function, (*args, *keywords.values()))
        self._numbers: weakref.WeakKeyDictionary[Node, int] = weakref.WeakKeyDictionary()
        self._read: list[tuple[weakref.ref[Any], int, int, int]] = []
        self._count = 0
        self._marks: list[_Mark] = []
        # of the second run: the nodes that are still to be handed out, and the numbers of all
        self._again: dict[int, Node] = {}
        self._again_numbers: weakref.WeakKeyDictionary[Node, int] = weakref.WeakKeyDictionary()

    def first(self, args: Any, keywords: Any) -> Any:
        """The function's result, recorded by nodes that keep nothing."""
        watch = _First(self)
        for _, array in self.holds:
            watch.reads(array)
        with watch:
            result = self._function(*args, **keywords)
        self._marks = _marks(result)
        self._count = len(self._numbers)
        return result

    def take(self, node: Node) -> tuple[tuple[Any, ...], Any, int]:
        """What the second run kept for the operation that `node` stands for."""
        number = self._numbers[node]
        if number not in self._again:
            self._run_again()
        twin = self._again.pop(number)
        if not self._alike(node, twin):
            raise GraphError(f"{self._differs()}: {_said(node)} became {_said(twin)}{_ADVICE}")
        args, y, since = twin.args, twin.y, twin.serial
        assert args is not None
        twin.args = twin.y = None
        if isinstance(args, Recomputed):  # of a checkpoint inside this one
            args, y, since = args.take(twin)
        pairs = zip(node.inputs, args, strict=True)
        return tuple([n if type(a) is Node else a for n, a in pairs]), y, since

    def _run_again(self) -> None:
        self._refuse_changes()
        watch = _Second()
        args, keywords = map_tree(_bound, self._given)
        mode = state.mode
        before = mode.scope, mode.traces
        mode.scope, mode.traces = _other_call(self._scope), self._traces
        try:
            with self._surroundings.again(), enable_grad(), watch:
                result = self._function(*args, **keywords)
        finally:
            mode.scope, mode.traces = before
        found = watch.nodes
        self._again_numbers.update((twin, i) for i, twin in enumerate(found))
        if len(found) != self._count:
            raise GraphError(
                f"{self._differs()}: {self._count} operations became {len(found)}{_ADVICE}"
            )
        wanted = set(self._numbers.values())  # the others are not in the graph of the result
        self._again = {i: twin for i, twin in enumerate(found) if i in wanted}
        marks = _marks(result)
        if len(marks) != len(self._marks) or not all(map(_agree, marks, self._marks)):
            raise GraphError(f"{self._differs()}: its result has other numbers{_ADVICE}")

    def _refuse_changes(self) -> None:
        for reference, start, end, time in self._read:
            owner = reference()
            changed = None if owner is None else engine.written_since((owner, start, end), time)
            if changed is not None:
                raise GraphError(
                    f"checkpoint cannot run {_name(self._function)} again: an array that it read "
                    "was changed in place since"
                    + (f", at {quoted(changed)}" if changed else "")
                    + "; change a copy, or change it after the backward pass"
                )

    def _differs(self) -> str:
        return f"{_name(self._function)}, run again by checkpoint, did not do the same"

    def _alike(self, node: Node, twin: Node) -> bool:
        """Whether both are the same operation on the same inputs."""
        same = node.primitive is twin.primitive and len(node.inputs) == len(twin.inputs)
        return (
            same
            and (node.shape, node.dtype) == (twin.shape, twin.dtype)
            and all(map(self._same_input, node.inputs, twin.inputs))
        )

    def _same_input(self, mine: Any, other: Any) -> bool:
        while type(mine) is Node and type(other) is Node and mine is not other:
            if mine.name != "pick" or other.name != "pick" or mine.inputs[1] != other.inputs[1]:
                if not mine.requires_grad and not other.requires_grad:
                    return mine.shape == other.shape
                number = self._numbers.get(mine)
                return number is not None and number == self._again_numbers.get(other)
            mine, other = mine.inputs[0], other.inputs[0]
        return type(mine) is type(other)


_ADVICE = (
    "; a function under checkpoint does the same each time: its variables stay as they are, it "
    "takes random numbers from generators that modules, its arguments or its variables hold, and "
    "it keeps no count of its calls"
)


class _Watch:
    """Sees what the function computes."""

    _before: Observer | None

    def __enter__(self) -> None:
        self._before, state.mode.observer = state.mode.observer, self  # type: ignore[assignment]

    def __exit__(self, *error: object) -> None:
        state.mode.observer = self._before


class _First(_Watch):
    """Takes from each new node what it keeps; tells whoever watched before, who may look at it."""

    def __init__(self, run: _Run):
        self._run = run
        self._known: set[int] = set()  # ids of arrays that were read before, or made inside

    def called(self, module: Any) -> None:
        if self._before is not None:
            self._before.called(module)
        self._run._surroundings.remember(module)

    def computed(
        self, primitive: Any, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        if self._before is not None:
            self._before.computed(primitive, values, keywords, result, node)
        if state.mode.recording:  # else no derivative depends on it
            for value in values:
                self.reads(value)
        self._known.update(map(id, result if type(result) is tuple else (result,)))
        if node is not None and node.requires_grad and primitive is not engine.assign:
            self._run._numbers[node] = len(self._run._numbers)
            node.args, node.y = self._run, None

    def failed(self, error: BaseException, what: Any, values: Any) -> None:
        if self._before is not None:
            self._before.failed(error, what, values)

    def reads(self, array: Any) -> None:
        """Remember which memory an array shows, unless it was made here; not the array itself."""
        if isinstance(array, np.ndarray) and id(array) not in self._known:
            self._known.add(id(array))
            if not self._run._surroundings.puts_back(array):
                owner, start, end = engine.memory_of(array)  # type: ignore[misc]
                self._run._read.append((weakref.ref(owner), start, end, engine.now()))


class _Second(_Watch):
    """Collects the nodes; nobody else sees the second run."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def called(self, module: Any) -> None: ...

    def computed(
        self, primitive: Any, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        if node is not None and node.requires_grad and primitive is not engine.assign:
            self.nodes.append(node)

    def failed(self, error: BaseException, what: Any, values: Any) -> None: ...


class _Surroundings(Undisturbed):
    """The state that the first run found: generators, modules' buffers, parameters and modes."""

    def __init__(self, function: Any, inputs: tuple[Any, ...]):
        self._tensors: dict[int, tuple[Tensor, Any, Node | None]] = {}
        self._modes: dict[int, tuple[Any, bool]] = {}
        super().__init__(function, inputs)

    def remember(self, found: Any) -> None:
        """Also which arrays the parameters of a module show, and whether it is in training."""
        if id(found) not in self._searched and hasattr(type(found), "named_buffers"):
            for module in found.modules():
                self._modes.setdefault(id(module), (module, module.training))
            for p in found.parameters():
                self._tensors.setdefault(id(p), (p, p._array, p._node))
        super().remember(found)

    def puts_back(self, array: Any) -> bool:
        """Whether it is the array of a buffer, which may change: the second run gets a copy."""
        return any(buffer._array is array for buffer, _ in self._buffers)

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """All as it was when it was remembered, and afterwards as it is now."""
        then = [*self._tensors.values(), *((b, np.copy(old), None) for b, old in self._buffers)]
        now = [(tensor, tensor._array, tensor._node) for tensor, _, _ in then]
        modes = [(module, module.training) for module, _ in self._modes.values()]
        generators = [(generator, state_of(generator)) for generator, _ in self._generators]
        try:
            _set(then, list(self._modes.values()), self._generators)
            yield
        finally:
            _set(now, modes, generators)


def _set(tensors: list[Any], modes: list[Any], generators: list[Any]) -> None:
    for tensor, array, node in tensors:
        tensor._array, tensor._node = array, node
    for module, training in modes:
        module.training = training
    for generator, old in generators:
        put_state(generator, old)


def _bound(value: Any) -> Any:
    """A Tensor of its own for what a Tensor is now: `x *= 2` would bind the caller's anew."""
    if not isinstance(value, Tensor):
        return value
    made = make(value._array, value._node)
    made.name = value.name
    return made


def _other_call(scope: Any) -> Any:
    """The same module calls as another forward pass, for layers that refuse two uses in one."""
    if scope is None:
        return None
    made = copy.copy(scope)
    made.outer = _other_call(scope.outer)
    return made


def _floats(result: Any) -> list[Any]:
    arrays = [value.data for value in leaves(result) if isinstance(value, Tensor)]
    return [a for a in arrays if isinstance(a, np.ndarray) and a.dtype.kind == "f"]


_BLOCK = 8192  # numbers at a time, in the cache, and too few to wake up the library's threads


class _Mark(NamedTuple):
    """Of an array: its norm, a sum of its numbers in the order of its memory, with weights that
    tell signs and places apart, that order, and the share of the norm by which both may be off.
    """

    norm: float
    total: float
    strides: tuple[int, ...]
    close: float


@functools.cache
def _weights() -> Any:
    """Numbers of both signs, none of them small, in no order."""
    draw = np.random.default_rng(0)
    return draw.uniform(1, 2, _BLOCK) * draw.choice([-1.0, 1.0], _BLOCK)


def _marks(result: Any) -> list[_Mark]:
    """Of each result, that by which a second run with other numbers is noticed."""
    with np.errstate(all="ignore"):
        return [_mark(array) for array in _floats(result)]


def _mark(array: Any) -> _Mark:
    flat = array.ravel(order="K")  # a copy only where there are gaps
    weights, squares, total = _weights(), 0.0, 0.0
    for number, start in enumerate(range(0, array.size, _BLOCK)):
        block = flat[start : start + _BLOCK].astype(np.float64)  # where float16 has no overflow
        square = float(block @ block)
        if not math.isfinite(square):  # one NaN is not to hide all the others
            block = np.nan_to_num(block, nan=1.1, posinf=2.2, neginf=-2.2)
            square = float(block @ block)
        squares += square
        # a weight for the block as well: else those of two blocks could change places
        total += float(weights[-1 - number % _BLOCK] * (weights[: len(block)] @ block))
    # matrix libraries do not promise last digits; in float16, which they do not multiply, a
    # thousand of these would be all
    close = min(1e3 * float(np.finfo(array.dtype).eps), 1e-2)
    return _Mark(math.sqrt(squares), total, array.strides, close)


def _agree(mark: _Mark, before: _Mark) -> bool:
    allowed = mark.close * min(mark.norm, before.norm)
    off = [abs(mark.norm - before.norm)]
    if mark.strides == before.strides:
        off.append(abs(mark.total - before.total))
    return not any(difference > allowed for difference in off)


def _said(node: Node) -> str:
    at = f" at {quoted(node.line)}" if node.line else ""
    return f"{node.name} {node.shape}{at}"


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)
