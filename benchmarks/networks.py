"""The reports' multi-layer perceptrons: sizes, activation, and one batch with initial weights."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

LEARNING_RATE, MOMENTUM = 0.001, 0.9
SLOPE = 0.1  # of report 003's leaky ReLU


@dataclass(frozen=True)
class Network:
    """Sizes of the layers, and the activation between them: "relu", "tanh" or "leaky_relu"."""

    sizes: tuple[int, ...]
    activation: str = "relu"

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.sizes))} {self.activation}"


REPORTS = {
    "000": Network((784, 128, 64, 10)),
    "001": Network((784, 256, 128, 10)),
    "002": Network((784, 50, 50, 10), "tanh"),
    "003": Network((784, 1024, 512, 256, 10), "leaky_relu"),
    "004": Network((784, 128, 10), "tanh"),
}
SMALL = Network((20, 8, 6, 4))


@dataclass(frozen=True, eq=False)  # what is compiled for a problem is remembered by its identity
class Problem:
    """The images and labels of a batch, and the initial weights (inputs, outputs) and biases."""

    network: Network
    images: Any
    labels: Any
    weights: list[Any]
    biases: list[Any]


def problem(network: Network, batch: int) -> Problem:
    """Random images and labels, the same for every contender; He's initial weights."""
    rng = np.random.default_rng(0)
    sizes = network.sizes
    return Problem(
        network,
        rng.random((batch, sizes[0]), dtype=np.float32),
        rng.integers(sizes[-1], size=batch),
        [
            rng.standard_normal((n, m), dtype=np.float32) * np.float32((2 / n) ** 0.5)
            for n, m in pairwise(sizes)
        ],
        [np.zeros(m, np.float32) for m in sizes[1:]],
    )
