"""A step of SGD with momentum, and of Adam: the parameters of a network 784-h-h-10; float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Case, Step

MOMENTUM = 0.9
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

HIDDEN = {"100,000": 112, "1,000,000": 680, "10,000,000": 2795}


@dataclass(frozen=True)
class Problem:
    """What is stepped by which optimizer, with gradients that stay the same."""

    adam: bool
    weights: list[Any]
    gradients: list[Any]

    @property
    def lr(self) -> float:
        return 1e-5 if self.adam else 1e-4


def problem(hidden: int, adam: bool) -> Problem:
    shapes = [(784, hidden), (hidden,), (hidden, hidden), (hidden,), (hidden, 10), (10,)]
    rng = np.random.default_rng(0)
    return Problem(
        adam,
        [rng.standard_normal(s, dtype=np.float32) for s in shapes],
        [rng.standard_normal(s, dtype=np.float32) for s in shapes],
    )


def some(weights: Any) -> tuple[Any]:
    """A few of the weights, to compare."""
    return (np.array(weights[:2, :20]),)


def with_tinygrad_fm(p: Problem, compiled: bool) -> Step:
    from tinygrad_fm import Tensor, fast, optim

    if compiled:
        fast.ready(fast.WORTH)  # as after a long run
        if not fast.ready(0):
            raise RuntimeError(fast.why_not())

    class NumpySGD(optim.SGD):
        update = optim.SGD.update  # its own: the loop is not inherited then

    class NumpyAdam(optim.Adam):
        update = optim.Adam.update

    parameters = [Tensor(w.copy(), requires_grad=True) for w in p.weights]
    for parameter, g in zip(parameters, p.gradients, strict=True):
        parameter.grad = g.copy()
    optimizer: optim.Optimizer
    if p.adam:
        optimizer = (optim.Adam if compiled else NumpyAdam)(parameters, p.lr)
    else:
        optimizer = (optim.SGD if compiled else NumpySGD)(parameters, p.lr, MOMENTUM)

    def step() -> tuple[Any]:
        optimizer.step()
        return some(parameters[0].data)

    return step


def with_numpy(p: Problem) -> Step:
    """The formulas as one writes them down."""
    weights = [w.copy() for w in p.weights]
    gradients = [g.copy() for g in p.gradients]
    first = [np.zeros_like(w) for w in weights]
    second = [np.zeros_like(w) for w in weights]
    count = 0

    def sgd() -> tuple[Any]:
        for w, g, v in zip(weights, gradients, first, strict=True):
            v *= MOMENTUM
            v += g
            w -= p.lr * v
        return some(weights[0])

    def adam() -> tuple[Any]:
        nonlocal count
        count += 1
        for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
            first[i] = BETA1 * first[i] + (1 - BETA1) * g
            second[i] = BETA2 * second[i] + (1 - BETA2) * g**2
            m = first[i] / (1 - BETA1**count)
            v = second[i] / (1 - BETA2**count)
            w -= p.lr * m / (np.sqrt(v) + EPS)
        return some(weights[0])

    return adam if p.adam else sgd


def with_pytorch(p: Problem, **form: bool) -> Step:
    import torch

    parameters = [torch.from_numpy(w.copy()).requires_grad_() for w in p.weights]
    for parameter, g in zip(parameters, p.gradients, strict=True):
        parameter.grad = torch.from_numpy(g.copy())
    optimizer: Any
    if p.adam:
        optimizer = torch.optim.Adam(parameters, p.lr, (BETA1, BETA2), EPS, **form)
    else:
        optimizer = torch.optim.SGD(parameters, p.lr, MOMENTUM, **form)
    values = parameters[0].detach().numpy()

    def step() -> tuple[Any]:
        optimizer.step()
        return some(values)

    return step


CONTENDERS: dict[str, Callable[[Problem], Step]] = {
    "tinygrad_fm": partial(with_tinygrad_fm, compiled=False),
    "tinygrad_fm[fast]": partial(with_tinygrad_fm, compiled=True),
    "NumPy by hand": with_numpy,
    "PyTorch, fused": partial(with_pytorch, fused=True),
    "PyTorch, foreach": partial(with_pytorch, foreach=True),
    "PyTorch, single": partial(with_pytorch, foreach=False),
}


def cases(quick: bool) -> list[Case]:
    found = []
    for adam in (False, True):
        for count, hidden in ({"7,000": 8} if quick else HIDDEN).items():
            p = problem(hidden, adam)
            found.append(
                Case(
                    f"{'Adam' if adam else 'SGD with momentum'}, {count} parameters: one step",
                    {name: partial(prepare, p) for name, prepare in CONTENDERS.items()},
                    check=5,
                    turn=0.02 if hidden < 2000 else 0.1,
                    rounds=1_000_000 if hidden < 2000 else 12,
                )
            )
    return found
