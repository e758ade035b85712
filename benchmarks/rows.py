"""Rows of an array read, written, stacked and looked up many times, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.measure import Case, Step

WIDTH = 64


def read(library: Any, x: Any, _pairs: Any) -> Any:
    total = x[0]
    for i in range(1, len(x)):
        total = total + x[i]
    return total


def read_pairs(library: Any, x: Any, pairs: Any) -> Any:
    total = x[pairs[0]]
    for pair in pairs[1:]:
        total = total + x[pair]
    return total


def write(library: Any, x: Any, _pairs: Any) -> Any:
    z = library.zeros(x.shape)
    for i in range(len(x)):
        z[i] = x[i] * 0.5
    return z


def stack(library: Any, x: Any, _pairs: Any) -> Any:
    return library.stack([x[i] for i in range(len(x))])


def look_up(library: Any, x: Any, pairs: Any) -> Any:
    """All pairs at once, as an embedding does."""
    return x[pairs]


WORKS: dict[str, Callable[..., Any]] = {
    "rows read one by one": read,
    "rows read in pairs, by arrays": read_pairs,
    "rows written one by one": write,
    "rows stacked": stack,
    "rows looked up at once": look_up,
}


def inputs(length: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(length, WIDTH)), rng.integers(length, size=(length, 2))


def with_tinygrad_fm(work: Any, length: int) -> Step:
    import tinygrad_fm as tg

    numbers, pairs = inputs(length)
    x = tg.Tensor(numbers, requires_grad=True)

    def step() -> tuple[Any, Any]:
        x.grad = None
        y = work(tg, x, pairs)
        y.sum().backward()
        return y.data, x.grad.data

    return step


def with_numpy_forward(work: Any, length: int) -> Step:
    x, pairs = inputs(length)
    return lambda: (work(np, x, pairs),)


def with_pytorch(work: Any, length: int) -> Step:
    import torch

    numbers, pairs = map(torch.from_numpy, inputs(length))
    zeros = partial(torch.zeros, dtype=numbers.dtype)
    library = SimpleNamespace(zeros=zeros, stack=torch.stack)
    x = numbers.requires_grad_()

    def step() -> tuple[Any, Any]:
        x.grad = None
        y = work(library, x, pairs)
        y.sum().backward()
        return y.detach().numpy(), x.grad.numpy()

    return step


CONTENDERS = {
    "tinygrad_fm": with_tinygrad_fm,
    "NumPy, forward only": with_numpy_forward,
    "PyTorch": with_pytorch,
}


def cases(quick: bool) -> list[Case]:
    length = 20 if quick else 2_000
    return [
        Case(
            f"{length:,} {name}, {WIDTH} float64 each: forward and backward",
            {who: partial(prepare, work, length) for who, prepare in CONTENDERS.items()},
            rtol=1e-9,
            turn=0.01 if quick else 0.1,
            rounds=20,
        )
        for name, work in WORKS.items()
    ]
