"""A long chain of operations on tiny arrays, forward and backward: what one operation costs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Case, Step

# The numbers keep values and gradients near 1 over the whole chain, and away from denormals.
START = np.linspace(-0.5, 0.5, 8, dtype=np.float32)
SHIFT = np.linspace(-1e-4, 1e-4, 8, dtype=np.float32)
FACTOR, OFFSET = 1.001, 1e-5


def chain(x: Any, shift: Any, tanh: Any, length: int) -> Any:
    """`length` operations, four kinds in turn."""
    for _ in range(length // 4):
        x = x * FACTOR
        x = x + shift
        x = tanh(x)
        x = x - OFFSET
    return x


def with_tinygrad_fm(length: int) -> Step:
    from tinygrad_fm import Tensor

    x = Tensor(START, requires_grad=True)

    def step() -> tuple[Any, Any]:
        x.grad = None
        y = chain(x, SHIFT, np.tanh, length)
        y.sum().backward()
        return y.data, x.grad.data

    return step


def with_numpy_forward(length: int) -> Step:
    """No derivatives at all: what NumPy's calls alone cost, the floor of everything here."""
    return lambda: (chain(START, SHIFT, np.tanh, length),)


def with_pytorch(length: int) -> Step:
    import torch

    x = torch.from_numpy(START.copy()).requires_grad_()
    shift = torch.from_numpy(SHIFT)

    def step() -> tuple[Any, Any]:
        x.grad = None
        y = chain(x, shift, torch.tanh, length)
        y.sum().backward()
        return y.detach().numpy(), x.grad.numpy()

    return step


def with_mygrad(length: int) -> Step:
    import mygrad as mg

    x = mg.tensor(START)

    def step() -> tuple[Any, Any]:
        y = chain(x, SHIFT, mg.tanh, length)
        y.sum().backward()
        return y.data, x.grad

    return step


def with_autograd(length: int) -> Step:
    import autograd.numpy as anp
    from autograd import make_vjp

    pull_of = make_vjp(lambda x: chain(x, SHIFT, anp.tanh, length))

    def step() -> tuple[Any, Any]:
        pull, y = pull_of(START)
        return y, pull(np.ones_like(y))

    return step


CONTENDERS = {
    "tinygrad_fm": with_tinygrad_fm,
    "NumPy, forward only": with_numpy_forward,
    "PyTorch": with_pytorch,
    "MyGrad": with_mygrad,
    "HIPS autograd": with_autograd,
}


def cases(quick: bool) -> list[Case]:
    length = 40 if quick else 2_000
    return [
        Case(
            f"chain of {length:,} operations on 8 float32 numbers: forward and backward",
            {name: partial(prepare, length) for name, prepare in CONTENDERS.items()},
            rtol=1e-3,
            turn=0.01 if quick else 0.15,
            rounds=20,
            settle=0,
        )
    ]
