"""An array filled element by element in a loop, forward and backward."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Case, Step

FACTOR = 0.9


def numbers(length: int) -> Any:
    return np.linspace(-0.5, 0.5, length)


def fill(z: Any, x: Any) -> Any:
    """Each element from the one before it."""
    z[0] = x[0]
    for i in range(1, len(x)):
        z[i] = z[i - 1] * FACTOR + x[i]
    return z


def with_tinygrad_fm(length: int) -> Step:
    import tinygrad_fm as tg

    x = tg.Tensor(numbers(length), requires_grad=True)

    def step() -> tuple[Any, Any]:
        x.grad = None
        z = fill(tg.zeros(length), x)
        z.sum().backward()
        return z.data, x.grad.data

    return step


def with_numpy_forward(length: int) -> Step:
    x = numbers(length)
    return lambda: (fill(np.zeros(length), x),)


def with_pytorch(length: int) -> Step:
    import torch

    x = torch.from_numpy(numbers(length)).requires_grad_()

    def step() -> tuple[Any, Any]:
        x.grad = None
        z = fill(torch.zeros(length, dtype=x.dtype), x)
        z.sum().backward()
        return z.detach().numpy(), x.grad.numpy()

    return step


CONTENDERS = {
    "tinygrad_fm": with_tinygrad_fm,
    "NumPy, forward only": with_numpy_forward,
    "PyTorch": with_pytorch,
}


def cases(quick: bool) -> list[Case]:
    return [
        Case(
            f"a loop that fills {length:,} float64 elements: forward and backward",
            {name: partial(prepare, length) for name, prepare in CONTENDERS.items()},
            rtol=1e-9,
            turn=0.01 if quick else 0.15,
            rounds=20,
            settle=0,
        )
        for length in ((20,) if quick else (2_000, 8_000))
    ]
