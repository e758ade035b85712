"""What a node costs: floating-point operations, and bytes kept for the backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm.engine import Constant, Node, Recomputed

Shape = tuple[int, ...]

# Operations that arrange numbers and compute none.
MOVES = frozenset(
    """argument assign astype broadcast_to concatenate conjugate copy empty_like expand_dims flip
    full_like getitem imag moveaxis ones_like pad pick pick_pooled real real_if_close reshape roll
    setitem split squeeze swapaxes transpose tril triu unpool windows
    zeros_like""".split()  # noqa: SIM905
)
# Of those, the ones whose result is usually a view: it keeps the memory of its argument.
VIEWS = frozenset(
    """argument broadcast_to expand_dims flip getitem imag moveaxis pick real real_if_close reshape
    squeeze swapaxes transpose windows""".split()  # noqa: SIM905
)
# And of those, the ones whose result has no order in memory that a reshape could keep.
TURNS = frozenset({"broadcast_to", "flip", "moveaxis", "swapaxes", "transpose", "windows"})


def _product(node: Node, a: Shape, b: Shape, *_rest: Shape) -> int:
    """Of each of the results' numbers: a multiplication and an addition for each summed one."""
    return 2 * node.size * (a[-1] if a else 1)


def _linear(node: Node, x: Shape, weight: Shape, *_bias: Shape) -> int:
    return 2 * node.size * x[-1] + (node.size if _bias else 0)


def _einsum(node: Node, *shapes: Shape) -> int:
    """One multiplication or addition for each operand and each combination of the indices."""
    sizes: dict[str, int] = {}
    terms = node.keywords["subscripts"].partition("->")[0].split(",")
    for letters, shape in zip(terms, shapes, strict=True):
        sizes.update((a, n) for a, n in zip(letters, shape, strict=True) if n > sizes.get(a, 0))
    return math.prod(sizes.values()) * len(shapes)


def _of_argument(node: Node, *shapes: Shape) -> int:
    """One for each number that goes in: sums, maxima, counts."""
    return max((math.prod(shape) for shape in shapes), default=0)


def _several(times: int) -> Callable[..., int]:
    return lambda node, *shapes: times * _of_argument(node, *shapes)


def _of_matrices(times: float) -> Callable[..., int]:
    """So many times rows * columns * the shorter of both, for each matrix of a stack."""
    return lambda node, a, *_rest: round(times * math.prod(a) * min(a[-2:]))


def _convolution(node: Node, *shapes: Shape) -> int:
    """The sum itself, whichever way it is computed: what it counts for does not depend on it."""
    plan = node.inputs[-1]
    out = node.shape if node.name == "conv2d" else shapes[0] if "input" in node.name else shapes[1]
    channels = node.shape[1] if node.name != "conv2d" else shapes[1][1]
    return 2 * math.prod(out) * math.prod(plan[2]) * channels


def _solve(node: Node, a: Shape, b: Shape) -> int:
    """An LU decomposition, and two substitutions for each column."""
    return _of_matrices(2 / 3)(node, a) + 2 * node.size * a[-1]


def _filter(node: Node, a: Shape, v: Shape) -> int:
    """Each number of one sequence times each of the other, or of its part that fits."""
    shorter = min(*a, *v) if node.name == "convolve" else v[0]
    return 2 * shorter * (max(*a, *v) if node.name == "convolve" else node.size)


# The counts that are not one for each number of the result. Decompositions: Golub and Van Loan,
# Matrix Computations; those that iterate have a typical count.
FLOPS: dict[str, Callable[..., int]] = {
    "matmul": _product,
    "dot": _product,
    "linear": _linear,
    "conv2d": _convolution,
    "conv2d_input_gradient": _convolution,
    "conv2d_weight_gradient": _convolution,
    "einsum": _einsum,
    "mean": _several(1),
    "var": _several(3),  # subtract, square, add
    "std": _several(3),
    "softmax": _several(4),  # the largest, subtract, exp and add, divide
    "log_softmax": _several(4),
    "cross_entropy": _several(5),
    "centre": _several(2),  # mean, subtract
    "mean_square": _several(2),  # square, add
    "square_norm": _several(2),
    "norm": _several(2),  # square, add
    "power_norm": _several(3),  # absolute value, power, add
    "recurrence": lambda node, a, b: 2 * node.size,
    "solve": _solve,
    "convolve": _filter,
    "correlate": _filter,
    "cholesky": _of_matrices(1 / 3),
    "inv": _of_matrices(2),
    "qr": _of_matrices(4),
    "eigh": _of_matrices(9),
    "svd": _of_matrices(14),
    "pinv": _of_matrices(16),
    "cofactors": _of_matrices(16),
    "matrix_rank": _of_matrices(4),
    **dict.fromkeys(["det", "log_determinant", "determinant_sign"], _of_matrices(2 / 3)),
    **dict.fromkeys(["cumprod", "argpartition", "lexsort", "digitize"], _of_argument),
    **dict.fromkeys(["nanargmax", "nanargmin"], _of_argument),
    **dict.fromkeys(["sum", "prod", "max", "min", "all", "any", "argmax", "argmin"], _of_argument),
    **dict.fromkeys(
        ["cumsum", "count_nonzero", "max_pool", "avg_pool", "add_windows", "channel_sums"],
        _of_argument,
    ),
    **dict.fromkeys(["scatter_add", "argsort", "searchsorted"], _of_argument),
}


def flops(node: Node) -> int | None:
    """Floating-point operations of a node, with the usual conventions.

    A multiplication, an addition, a comparison and an elementary function (exp, tanh) count one
    each; moving numbers counts nothing. None for an operation of the user's own, whose work is not
    known.
    """
    if node.primitive is None or node.name in MOVES:
        return 0
    shapes = [given.shape for given in node.inputs if isinstance(given, (Node, Constant))]
    counted = FLOPS.get(node.name)
    if counted is not None:
        return counted(node, *[s for s in shapes if not (s and isinstance(s[0], tuple))])
    known = node.primitive.elementwise or node.primitive.function.__module__.startswith(
        ("numpy", "tinygrad_fm")
    )
    return sum(_sizes(node)) if known else None


def _sizes(node: Node) -> list[int]:
    parts = node.shape if node.primitive and node.primitive.multiple else [node.shape]
    return [math.prod(shape) for shape in parts]


def kept_bytes(nodes: list[Node]) -> dict[Node, int]:
    """How much of each node's result the graph keeps in memory for its backward pass, in bytes.

    Counted are the buffers that the graph holds, each once, for the first node that shows it. A
    parameter or an array of the user's counts for nothing: it would be in memory without the graph.
    When the graph is freed, its shapes tell what it held; a result that is usually a view is then
    taken for one.
    """
    operations = [node for node in nodes if node.primitive is not None and node.requires_grad]
    if any(node.args is not None for node in operations if node.name != "pick"):
        return _held_bytes(nodes)
    kept: dict[Node, int] = {}
    for node in operations:
        for given in needed(node):
            owner = memory_owner(given)
            if owner.primitive is not None:
                kept[owner] = result_bytes(owner)
    return kept


def _held_bytes(nodes: list[Node]) -> dict[Node, int]:
    kept: dict[Node, int] = {}
    for buffer in held_buffers(nodes):
        if buffer.first is not None:
            kept[buffer.first] = kept.get(buffer.first, 0) + buffer.bytes
    return kept


@dataclass
class Buffer:
    """Memory that a graph holds.

    Attributes:
        memory: the array that owns it.
        first: the oldest node whose result lies in it; None where it is that of a leaf, or of an
            array that is not recorded.
        bytes: its size.
        holders: the nodes that keep it for their rules.
    """

    memory: Any
    first: Node | None
    bytes: int
    holders: list[Node]


def held_buffers(nodes: list[Node]) -> list[Buffer]:
    """The buffers behind the arrays that the nodes hold, each once."""
    place = {node: i for i, node in enumerate(nodes)}
    found: dict[int, Buffer] = {}
    for node in nodes:
        pairs: list[tuple[Any, Any]]
        if node.primitive is None:
            owner = node.owner() if node.owner is not None else None
            pairs = [] if owner is None else [(node, owner.data)]
        else:
            pairs = list(zip(node.inputs, node.args or (), strict=False))
            if isinstance(node.args, Recomputed):
                pairs += node.args.holds
            results = node.y if isinstance(node.y, tuple) else (node.y,)
            pairs += [(node, result) for result in results]
        for given, array in pairs:
            if not isinstance(array, np.ndarray):
                continue
            own = memory_root(array)
            theirs = type(given) is not Node or given.primitive is None
            first = None if theirs else given
            buffer = found.setdefault(id(own), Buffer(own, first, own.nbytes, []))
            if first is None or buffer.first is None:
                buffer.first = None
            else:
                buffer.first = min(buffer.first, first, key=place.__getitem__)
            if node.primitive is not None:
                buffer.holders.append(node)
    return list(found.values())


def memory_root(array: Any) -> Any:
    """The array whose memory an array shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def needed(node: Node) -> list[Node]:
    """The nodes whose results the rules of a node need."""
    assert node.primitive is not None
    wanted = sum(
        1 << i for i, given in enumerate(node.inputs) if type(given) is Node and given.requires_grad
    )
    wanted &= node.primitive.reaches
    if not wanted:  # pick: it hands its part of the gradient on
        return []
    keeps_y, keeps = node.primitive.plan(wanted, len(node.inputs))
    held = [node.inputs[i] for i in keeps] + ([node] if keeps_y else [])
    return [given for given in held if type(given) is Node]


def memory_owner(node: Node) -> Node:
    """The node whose memory the result of `node` lies in."""
    while node.name in VIEWS and type(node.inputs[0]) is Node:
        source = node.inputs[0]
        if node.name == "reshape" and source.name in TURNS:
            break  # a copy
        node = source
    return node


def result_bytes(node: Node) -> int:
    """The size of a node's result, of all its results."""
    if node.primitive and node.primitive.multiple:
        return sum(
            math.prod(shape) * np.dtype(dtype).itemsize
            for shape, dtype in zip(node.shape, node.dtype, strict=True)
        )
    return node.size * node.dtype.itemsize
