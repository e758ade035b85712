"""Chains over arrays with more than two axes: one loop along the memory, whatever its order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_python import loops_in_python
from learning import learning_step

import tinygrad_fm as tg
from tinygrad_fm import nn, optim

OPERATIONS = {
    "add": np.add, "multiply": np.multiply, "half": lambda a, b: 0.5 * a + b,
    "above": lambda a, b: np.maximum(a, 0) - b, "which": lambda a, b: np.where(a > b, a, b),
    "turned": lambda a, b: np.transpose(a) + 1, "part": lambda a, b: a[..., ::-1] * 2,
    "sum": lambda a, b: a * np.sum(b, axis=0), "tanh": lambda a, b: np.tanh(a) * b,
    "wide": lambda a, b: a.astype(np.float64) * a,
}  # fmt: skip
SHAPES = [(2, 3, 4), (4, 1, 3), (1, 2, 1, 3), (2, 2, 3, 2), (2, 1, 2, 2, 2)]


def laid(numbers, order):
    """The same numbers, with the axes in memory in this order."""
    back = np.argsort(order)
    return np.ascontiguousarray(numbers.transpose(order)).transpose(back)


@st.composite
def arrays(draw):
    shape = draw(st.sampled_from(SHAPES))
    orders = st.permutations(range(len(shape)))
    return shape, [draw(orders) for _ in range(3)]


CALLS = st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 20), st.integers(0, 20))


@given(arrays(), st.lists(CALLS, min_size=1, max_size=10), st.booleans())
def test_random_chains_over_arrays_in_any_order_have_the_bits_of_the_calls(given_, calls, kept):
    shape, orders = given_

    def step(*args):
        pool = list(args)
        for name, i, j in calls:
            a, b = pool[i % len(pool)], pool[j % len(pool)]
            try:
                pool.append(OPERATIONS[name](a, b))
            except ValueError:  # a transposed array that does not fit
                pool.append(a - 1)
        return pool[3:] if kept else pool[-1]

    with loops_in_python():
        run = tg.compile(step)
        for seed in range(4):
            rng = np.random.default_rng(seed)
            args = [laid(rng.standard_normal(shape), order) for order in orders]
            found, expected = run(*args), step(*map(tg.Tensor, args))
            for ours, theirs in zip(
                *([r] if not kept else r for r in (found, expected)), strict=True
            ):
                assert ours.data.dtype == theirs.data.dtype
                assert ours.shape == theirs.shape
                assert ours.data.tobytes() == theirs.data.tobytes()


class Doubled(nn.Module):
    """Adds images in the order of a convolution to those that came in, which lie otherwise."""

    def __init__(self):
        self.inner = nn.Conv2d(2, 2, 3, padding=1, rng=2)

    def forward(self, x):
        return 2 * self.inner(x) + x * x


NETWORKS = {
    "leaky": lambda: (nn.LeakyReLU(0.1), nn.MaxPool2d(2)),
    "tanh": lambda: (nn.MaxPool2d(2), nn.Tanh()),
    "batch norm": lambda: (nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_convolutional_network_learns_the_same_to_the_last_bit(name):
    def trained(compiled):
        model = nn.Sequential(
            Doubled(), nn.Conv2d(2, 4, 3, padding=1, rng=0), *NETWORKS[name](), nn.Flatten(),
            nn.Linear(36, 3, rng=1),
        )  # fmt: skip
        step = learning_step(model, optim.AdamW(model.parameters(), lr=0.01))
        run = tg.compile(step) if compiled else step
        rng = np.random.default_rng(0)
        found = []
        for _ in range(5):
            x, y = rng.standard_normal((4, 2, 6, 6)).astype(np.float32), rng.integers(3, size=4)
            found += [run(x, y).data.tobytes(), *(p.data.tobytes() for p in model.parameters())]
        return found, run

    with loops_in_python():
        found, run = trained(compiled=True)
    assert found == trained(compiled=False)[0]
    along_images = ".transpose((2, 3, 0, 1)).reshape(-1)"  # of a convolution
    assert along_images in run.source
