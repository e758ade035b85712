"""Cases for equations: arrays whose shapes share random sizes, and what the library is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fm as tg


def numbers(low: float = -3, high: float = 3) -> st.SearchStrategy[float]:
    """Whole numbers, or those of at most three decimals: to be read off a page and typed in."""
    fine = st.floats(low, high, allow_subnormal=False).map(lambda x: round(x, 3) + 0.0)
    return st.integers(int(low), int(high)).map(float) | fine


def away_from_zero() -> st.SearchStrategy[float]:
    """The same, but for 0, where some functions have a kink."""
    return numbers().map(lambda x: x or 1.0)


def case(*parts: Any, most: int = 4, least: int = 1) -> st.SearchStrategy[tuple[Any, ...]]:
    """Tuples of arrays and other values.

    A part is a signature such as "N D" (an array, N and D being drawn once for all parts, from
    `least` to `most`, but C classes being at least two; or a number), a pair of a signature and the
    strategy of its elements, a strategy, or a function of (draw, size) where `size("N")` is N. Not
    drawn: infinities, NaN, numbers above 3 in size, empty arrays, more than two axes.
    """

    @st.composite
    def draw_case(draw: Any) -> tuple[Any, ...]:
        sizes: dict[str, int] = {}

        def size(name: str) -> int:
            if name.isdigit():
                return int(name)
            if name not in sizes:
                sizes[name] = draw(st.integers(max(least, 2) if name == "C" else least, most))
            return sizes[name]

        def one(part: Any) -> Any:
            if isinstance(part, str):
                part = (part, numbers())
            if isinstance(part, tuple):
                shape = tuple(size(name) for name in part[0].split())
                return draw(hnp.arrays(np.float64, shape, elements=part[1]))
            return draw(part) if isinstance(part, st.SearchStrategy) else part(draw, size)

        return tuple(one(part) for part in parts)

    return draw_case()


def labels(draw: Any, size: Callable[[str], int]) -> Any:
    """Class numbers of N examples."""
    return draw(hnp.arrays(np.int64, size("N"), elements=st.integers(0, size("C") - 1)))


def one_hot(draw: Any, size: Callable[[str], int]) -> Any:
    """Targets (N, C), a single 1 in each row."""
    return np.eye(size("C"))[labels(draw, size)]


def target_rows(draw: Any, size: Callable[[str], int]) -> Any:
    """Targets (N, C) whose rows sum to 1."""
    shape = (size("N"), size("C"))
    raw = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 8))) + 1e-9
    return raw / raw.sum(axis=1, keepdims=True)


bits = st.sampled_from([0.0, 1.0])
probabilities = st.just(0.5) | st.integers(5, 95).map(lambda n: n / 100)
rates = st.sampled_from([1.0, 0.5, 0.1, 0.05, 0.01, 0.001])  # simple ones first
shares = st.integers(0, 9).map(lambda n: n / 10)


def gradients(draw: Any, size: Callable[[str], int]) -> Any:
    """The gradients (T, D) of T steps."""
    return draw(hnp.arrays(np.float64, (size("T"), size("D")), elements=numbers()))


# ---- what the library is asked -------------------------------------------------------------------


def pulled(f: Callable[..., Any], *args: Any, by: Any) -> tuple[Any, ...]:
    """The gradients of all arguments of f, from the gradient of its result."""
    return tg.vjp(f, *args)[1](by)


def slope(f: Callable[..., Any], *args: Any) -> Any:
    """The gradient of f, a function to one number, by its first argument."""
    return tg.grad(f)(*args)


def optimized(optimizer: Any, w: Any, steps: Any, **settings: Any) -> tuple[Any, Any]:
    """The weights after an optimizer's steps with the given gradients; and the optimizer."""
    p = tg.Tensor(np.array(w, float), requires_grad=True)
    made = optimizer([p], **settings)
    for g in steps:
        p.grad = tg.Tensor(np.array(g, float))
        made.step()
    return p.data.copy(), made


def descended(loss: Callable[..., Any], *parameters: Any, **settings: Any) -> tuple[Any, ...]:
    """The parameters after one step of gradient descent on a loss."""
    own = [tg.Tensor(np.array(p, float), requires_grad=True) for p in parameters]
    optimizer = tg.optim.SGD(own, **settings)
    loss(*own).backward()
    optimizer.step()
    return tuple(p.data.copy() for p in own)


class Weights(tg.nn.Module):
    """A model of a weight matrix and, where there is one, a bias, for penalties."""

    def __init__(self, weight: Any, bias: Any = None):
        self.weight = tg.nn.Parameter(np.atleast_2d(weight))
        self.bias = None if bias is None else tg.nn.Parameter(np.array(bias, float))


def penalty_gradient(penalty: Any, weight: Any) -> Any:
    """The gradient of a penalty by a weight matrix."""
    model = Weights(weight)
    penalty(model).backward()
    return model.weight.grad.data.reshape(np.shape(weight))
