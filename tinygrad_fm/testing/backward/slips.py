"""The mistakes that people make in backward passes, recognised by their numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node
from tinygrad_fm.graph.build import ancestors
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.testing.backward.judge import factor_between, name_factor
from tinygrad_fm.testing.backward.pairing import _parts, names_gradient, same_shape
from tinygrad_fm.testing.backward.theirs import Made
from tinygrad_fm.testing.backward.truth import Truth, Value
from tinygrad_fm.testing.backward.uses import uses_of

FORMULAS = {
    "linear": "dX = dY Wᵀ, dW = Xᵀ dY, db = the sum of dY over the samples",
    "matmul": "d(A B): dA = dY Bᵀ, dB = Aᵀ dY",
    "dot": "d(A B): dA = dY Bᵀ, dB = Aᵀ dY",
    "add": "dY goes to both; a bias gets its sum over the samples",
    "tanh": "dX = dY (1 - Y²)",
    "sigmoid": "dX = dY Y (1 - Y)",
    "maximum": "dX = dY where X > 0, else 0",
    "exp": "dX = dY Y",
    "log": "dX = dY / X",
    "multiply": "d(A B): dA = dY B, dB = dY A",
}

# Derivatives that are written with the result of a function.
SLOPES: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("sigmoid", "y (1 - y)", lambda y: y * (1 - y)),
    ("tanh", "1 - y²", lambda y: 1 - y**2),
)


def recognise(made: Made, truth: Truth, every: list[Made]) -> tuple[Value | None, str, str, Any]:
    """What a wrong array was to be: the value by which it is the gradient, the slip, the formula.

    And, where a right gradient was taken for that of another value, that gradient.
    """
    for array in made.forms:
        found = _recognise(array, made, truth, every)
        if found[1] or array is made.forms[-1]:
            return found
    raise AssertionError


def _recognise(
    array: Any, made: Made, truth: Truth, every: list[Made]
) -> tuple[Value | None, str, str, Any]:
    arrays: dict[Node, Any] = {v.node: v.array for v in truth.values}
    gradients: dict[Node, Any] = {v.node: v.gradient for v in truth.values}
    users: dict[Node, list[Value]] = {}
    for later in truth.values:
        for parent in later.node.parents:
            users.setdefault(parent, []).append(later)
    candidates = [v for v in truth.values if _fits(array, v.gradient)]
    changed = _of_changed(array, made, candidates, users, truth, every)
    if changed[1]:
        return *changed, "", None
    slip_of_use = _of_one_use(array, truth)
    if slip_of_use[1]:
        return *slip_of_use, "", None
    # what has the name of a parameter in it first
    word = made.name.lower()
    candidates.sort(key=lambda v: not (v.name in truth.arrays and _last(v.name) in word))
    for value in candidates:
        if value.name in truth.arrays and names_gradient(made.name, value.name):
            factor = factor_between(array, value.gradient)
            if array.size > 1 and factor is not None and abs(factor - 1) > 1e-5:
                return value, _times(factor, truth), "", None
        direct = users.get(value.node, [])
        known = {user.node for user in direct}
        for user in [*direct, *(v for v in _later(value, truth) if v.node not in known)]:
            slip, alone = _of_input(array, value, user)
            if slip:
                return None if alone else value, slip, "" if alone else _formula(user), None
            slip = _of_one(array, value, user, arrays, gradients, truth)
            if slip:
                # a parameter's is made of it: the line that left the derivative out is before
                before = "is missing" in slip and value.name in truth.arrays
                return value, slip, _formula(user), gradients[user.node] if before else None
            slip, taken = _of_another_gradient(array, value, user, arrays, gradients, truth)
            if slip:
                return value, slip, "", taken
        slip = _of_penalty(array, value, truth)
        if slip:
            return value, slip, "", None
    for candidate in candidates:
        if same_shape(array, candidate.gradient) and np.allclose(
            np.abs(array.ravel()), np.abs(np.ravel(candidate.gradient))
        ):
            return candidate, "some of the signs are wrong", "", None
    # no known slip: of the gradients that no line made, the last one that fits, for the backward
    # pass comes to it first
    lacking = [v for v in candidates if v.gradient.ndim and not _is_made(v, every)]
    if not lacking:
        return None, "", "", None
    best = max(lacking, key=lambda v: v.node.serial)
    formulas = {_formula(user) for user in users.get(best.node, [])} - {""}
    return best, "", formulas.pop() if len(formulas) == 1 else "", None


def _times(factor: float, truth: Truth) -> str:
    samples = truth.result.shape[0] if truth.result.ndim else 1
    words = name_factor(factor, samples, 1)
    named = "" if words == f"{factor:.6g}" else f": {words}"
    return f"it is the true gradient times {factor:.6g}{named}"


def _of_changed(
    array: Any, made: Made, candidates: list[Value], users: Any, truth: Truth, every: list[Made]
) -> tuple[Value | None, str]:
    """A product with a parameter that was updated before it is used."""
    arrays = {v.node: v.array for v in truth.values}
    before = every[: next((i for i, other in enumerate(every) if other is made), 0)]
    for earlier in before:
        if earlier.change is None or earlier.array.ndim != 2:
            continue
        old, new = earlier.array - earlier.change, earlier.array
        for value, user in ((v, u) for v in candidates for u in users.get(v.node, [])):
            if not _multiplies(user.node, value.node) or user.gradient.ndim != 2:
                continue
            left, other = _factors(user.node, value.node, arrays)
            for was, now in ((old, new), (old.T, new.T)):
                if np.shape(other) == was.shape and np.allclose(other, was):
                    product = user.gradient @ now.T if left else now.T @ user.gradient
                    if factor_between(array, product) is not None:
                        return value, (
                            f"{earlier.name} was changed at line {earlier.line} above: go back "
                            "through it before it is updated"
                        )
    return None, ""


def _of_one_use(array: Any, truth: Truth) -> tuple[Value | None, str]:
    """A gradient in which one use of a value is left out, or only one is counted."""
    for use in uses_of(truth):
        if np.shape(array) != np.shape(use.gradient) or not np.any(use.gradient):
            continue
        for rest, is_only in (
            (array - use.gradient, True),
            (array - use.value.gradient + use.gradient, False),
        ):
            if np.abs(rest).max() <= 1e-9 * max(1.0, np.abs(array).max()):
                lines = use.others if is_only else [use.line]
                where = ", ".join(line.rpartition("/")[2] for line in lines[:3])
                return (
                    use.value,
                    f"not every use is counted: what comes back from {where} is missing",
                )
    return None, ""


def _is_made(value: Value, every: list[Made]) -> bool:
    return any(factor_between(a, value.gradient) is not None for made in every for a in made.forms)


def _of_another_gradient(
    array: Any, value: Value, user: Value, arrays: Any, gradients: Any, truth: Truth
) -> tuple[str, Any]:
    """A product with the gradient of a later value: one derivative on the way was left out."""
    g = gradients.get(user.node)
    if not _multiplies(user.node, value.node) or g is None or g.ndim != 2:
        return "", None
    left, other = _factors(user.node, value.node, arrays)
    if other is None or other.ndim != 2:
        return "", None
    if np.shape(array) != np.shape(value.gradient):
        return "", None

    def product(g: Any) -> Any:
        return g @ other.T if left else other.T @ g

    rest = value.gradient - product(g)  # what other terms of the loss add, such as a penalty
    factor = factor_between(array - rest, product(g))
    if factor is not None and abs(factor - 1) > 1e-5 and np.abs(rest).max() > 1e-9:
        samples = truth.result.shape[0] if truth.result.ndim else g.shape[0]
        words = name_factor(factor, samples, g.shape[-1])
        return (
            f"one part of this gradient is {factor:.6g} times the true one ({words}), beside a "
            "penalty or another use that is right"
        ), g
    for later in truth.values:
        if later.gradient.shape == g.shape and later.node.serial > user.node.serial:
            used = product(later.gradient)
            if factor_between(array - rest, used) is not None and (
                factor_between(used, product(g)) is None
            ):
                on_the_way = _between(user.node, later.node)
                return (
                    f"the derivative of {on_the_way} is missing: this is the gradient by its "
                    "result, used as that by its input"
                ), later.gradient
    return "", None


def _multiplies(user: Node, node: Node) -> bool:
    """Whether an operation is the matrix product of `node` and something."""
    return user.name in ("matmul", "dot", "linear") and any(i is node for i in user.inputs)


def _factors(user: Node, node: Node, arrays: Any) -> tuple[bool, Any]:
    """Whether `node` is the left factor of a product, and the other factor's numbers."""
    position = next((i for i, given in enumerate(user.inputs) if given is node), 0)
    other = 1 - position if position < 2 else 0
    given = user.inputs[other]
    if type(given) is Node:
        return position == 0, arrays.get(given)
    kept = (user.args or user.inputs)[other]
    return position == 0, kept if isinstance(kept, np.ndarray) else None


def _local(user: Node, node: Node) -> Any:
    """The derivative of an element-wise operation by one of its arguments; None for any other."""
    if user.shape != node.shape or user.primitive is None:
        return None
    with np.errstate(all="ignore"):
        found = engine.backward([(user, np.ones(user.shape))], targets=[node], keep=True)
    return np.asarray(found[node]) if node in found else None


def _later(value: Value, truth: Truth) -> list[Value]:
    """The values that an element-wise function may have made of one, a few steps on."""
    shape = value.node.shape
    after = [v for v in truth.values if v.node.serial > value.node.serial and v.node.shape == shape]
    return after[:12]


def function_of(node: Node) -> str:
    """What a person calls the function that made a value: their own name for it, if it has one."""
    if node.origin is not None:
        name = node.origin[0].co_name
        known = ("forward", "loss", "cost", "__call__", "predict", "<lambda>", "<module>")
        if name not in known and "forward" not in name and "loss" not in name:
            return name
    return node.name


def _at(user: Value, value: Value, arrays: Any) -> Any:
    """The derivative of what leads from `value` to `user`, at the result, not the argument."""
    if user.array is None:
        return None
    replaced: dict[Node, Any] = {value.node: Tensor(user.array, requires_grad=True)}
    with np.errstate(all="ignore"):
        for node in ancestors([user.node]):
            if node.primitive is None or node in replaced or node.serial <= value.node.serial:
                continue
            if not any(parent in replaced for parent in node.parents):
                continue
            args = node.args or node.inputs
            given = [
                replaced.get(i, arrays.get(i)) if type(i) is Node else a
                for i, a in zip(node.inputs, args, strict=True)
            ]
            if any(g is None for g, i in zip(given, node.inputs, strict=True) if i is not None):
                return None
            try:
                replaced[node] = node.primitive(*given, **node.keywords)
            except Exception:
                return None
        result = replaced.get(user.node)
        if not isinstance(result, Tensor) or not result.requires_grad:
            return None
        start = replaced[value.node].node
        end: Any = result.node
        return engine.backward([(end, np.ones(result.shape))], targets=[start]).get(start)


def _between(start: Node, end: Node) -> str:
    """The name of the operation that leads to `end`, passing over sums."""
    node = end
    while node.parents and node is not start:
        if node.name not in ("add", "subtract"):
            return function_of(node)
        node = node.parents[0]
    return function_of(end)


def _fits(a: Any, b: Any) -> bool:
    return same_shape(a, b) or (a.ndim == b.ndim == 2 and same_shape(a, b.T))


def _last(name: str) -> str:
    return _parts(name)[-1].lower()


def _formula(user: Value) -> str:
    name = function_of(user.node)
    return FORMULAS.get(name, FORMULAS.get(user.node.name, ""))


def _of_one(
    array: Any, value: Value, user: Value, arrays: Any, gradients: Any, truth: Truth
) -> str:
    """The slip that makes this array of the gradient by `value`, which `user` was computed from."""
    g = gradients.get(user.node)
    if g is None:
        return ""
    name = function_of(user.node)
    local = _local(user.node, value.node)
    if local is not None and same_shape(array, g) and np.ptp(local) > 0:
        at_output = _at(user, value, arrays)
        wrong = [] if at_output is None else [g * at_output, at_output]
        if any(factor_between(array, made) is not None for made in wrong):
            return f"the derivative of {name} is taken at its output instead of its input"
        if factor_between(array, g) is not None:
            return f"the derivative of {name} is missing"
        masks = [np.where(g > 0, g, 0), np.where(g >= 0, g, 0), np.where(g < 0, g, 0)]
        is_mask = set(np.unique(local)) <= {0.0, 1.0}
        if is_mask and any(factor_between(array, m) is not None for m in masks):
            return f"the mask of {name} is taken of the gradient instead of the input"
        if value.array is not None and factor_between(array, g * value.array) is not None:
            return f"multiplied by the input of {name} instead of its derivative"
    if _multiplies(user.node, value.node):
        return _of_product(array, value, user, g, arrays, truth)
    return ""


def _of_input(array: Any, value: Value, user: Value) -> tuple[str, bool]:
    """A derivative that is written with the result, but taken of the input; whether it is alone."""
    local = _local(user.node, value.node)
    if local is None or value.array is None or not same_shape(array, local):
        return "", False
    for what, written, slope in SLOPES:
        of_input = slope(value.array)
        if not np.ptp(local) or not np.allclose(local, slope(user.array)):
            continue
        alone = factor_between(array, of_input) is not None
        if alone or factor_between(array, user.gradient * of_input) is not None:
            return (
                f"the derivative of {what}, {written}, is that of its result y, but is taken of "
                "its input"
            ), alone
    return "", False


def _of_product(array: Any, value: Value, user: Value, g: Any, arrays: Any, truth: Truth) -> str:
    _, other = _factors(user.node, value.node, arrays)
    if other is None or other.ndim != 2 or g.ndim != 2:
        return ""
    is_left, _ = _factors(user.node, value.node, arrays)
    right_one = g @ other.T if is_left else other.T @ g
    pairs = ((g, other), (other, g), (g.T, other), (other, g.T), (other.T, g), (g, other.T))
    for left, right in pairs:
        made = _try(left, right)
        if made is None or factor_between(made, right_one) is not None:
            continue
        if factor_between(array, made) is not None:
            return "a transpose is missing, or the factors of the product are swapped"
    for v in truth.values:
        if v.array is None or v.array is other or np.shape(v.array) != other.shape:
            continue
        for product in (_try(v.array.T, g), _try(g, v.array.T)):
            if product is not None and factor_between(array, product) is not None:
                return f"the value of another place is used: that of {v.name}"
    if v_penalty := _of_penalty(array, value, truth):
        return v_penalty
    return ""


def _try(a: Any, b: Any) -> Any:
    return a @ b if a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0] else None


def _of_penalty(array: Any, value: Value, truth: Truth) -> str:
    """A difference that is a multiple of the parameter itself, or of its sign."""
    if value.name not in truth.arrays or value.array is None or value.array.size == 1:
        return ""  # one number always is a multiple of another
    if not same_shape(array, value.gradient):
        return ""
    difference = np.reshape(array, value.gradient.shape) - value.gradient
    for what, times in ((value.array, "the parameter"), (np.sign(value.array), "its sign")):
        factor = factor_between(difference, what)
        if factor is not None and np.abs(difference).max() > 1e-9:
            more = "too much" if factor > 0 else "too little"
            return f"{abs(factor):.4g} times {times} {more}: the penalty's factor or sign"
    return ""
