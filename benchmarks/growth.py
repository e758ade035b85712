"""How the time of a training step grows with width, depth, batch and number of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from benchmarks import mlp
from benchmarks.measure import Case
from benchmarks.networks import Network, problem

CONTENDERS = (
    "tinygrad_fm",
    "tinygrad_fm, compiled",
    "NumPy, planned",
    "PyTorch, SGD fused",
    "JAX jit",
)


def _sweeps(quick: bool) -> Iterator[tuple[str, float, tuple[int, ...], int]]:
    """What grows, its size, the layers and the batch."""
    for width in (4, 8) if quick else (32, 64, 128, 256, 512, 1024):
        yield "width", width, (width,) * 4, 128
    for depth in (1, 2) if quick else (1, 2, 4, 8, 16, 32):
        yield "depth", depth, (64,) * (depth + 1), 32
    for batch in (1, 2) if quick else (1, 4, 16, 64, 256, 1024):
        yield "batch", batch, (784, 128, 64, 10), batch
    for hidden in (4, 8) if quick else (40, 128, 400, 1280, 4000):
        sizes = (784, hidden, 10)
        yield "parameters", sum((n + 1) * m for n, m in pairwise(sizes)), sizes, 1


def cases(quick: bool) -> list[Case]:
    """One case for each point; the table and the page fit the slopes."""
    contenders = {name: mlp.CONTENDERS[name] for name in CONTENDERS}
    return [
        mlp.case(
            f"growth with {what}: {what} {size:,}, {'-'.join(map(str, sizes))}"[:100]
            + f", batch {batch}",
            problem(Network(sizes), batch),
            contenders,
            turn=0.001 if quick else 0.02,
            rounds=10,
            series=(what, size),
        )
        for what, size, sizes, batch in _sweeps(quick)
    ]
