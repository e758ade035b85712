"""An update that is repeated follows whatever happens between two of them."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_python import loops_in_python
from learning import learning_step

import tinygrad_fm as tg
from tinygrad_fm import nn, optim

MAKE = {
    "SGD": lambda p: optim.SGD(p, 0.1, 0.9),
    "AdamW": lambda p: optim.AdamW(p, 0.01),
    "groups": lambda p: optim.SGD(
        [{"parameters": p[:2]}, {"parameters": p[2:], "lr": 0.3, "momentum": 0.5}], 0.1
    ),
    "two dtypes": lambda p: optim.Adam(p, 0.01),
}


def network(name):
    second = np.float32 if name == "two dtypes" else np.float64
    return nn.Sequential(
        nn.Linear(3, 4, rng=0, dtype=np.float64), nn.Tanh(), nn.Linear(4, 2, rng=1, dtype=second)
    )


class Events:
    """What may happen to a network and its optimizer between two steps."""

    def __init__(self, name, compiled):
        self.model = network(name)
        self.optimizer = MAKE[name](self.model.parameters())
        self.other = optim.SGD(self.model.parameters()[:1], 0.2)
        self.eager = learning_step(self.model, self.optimizer)
        self.step = tg.compile(self.eager) if compiled else self.eager
        self.kept = self.optimizer.state_dict()
        self.arrays = [p.data.copy() for p in self.model.parameters()]
        self.rng = np.random.default_rng(0)

    def batch(self, rows=5):
        x = self.rng.standard_normal((rows, 3))
        return tg.Tensor(x), tg.Tensor(self.rng.integers(0, 2, rows))

    def learn(self):
        for _ in range(3):
            self.step(*self.batch())

    def learn_one_by_one(self):
        for _ in range(3):
            self.step(*self.batch(1))

    def learn_eagerly(self):
        self.eager(*self.batch())

    def another_rate(self):
        self.optimizer.lr *= 0.7

    def another_setting(self):
        group = self.optimizer.groups[-1]
        if hasattr(group, "momentum"):
            group.momentum, group.nesterov = 0.0 if group.momentum else 0.9, False
        else:
            group.betas = (0.8, 0.99)

    def another_form(self):
        group = self.optimizer.groups[0]
        if getattr(group, "momentum", 0):
            group.nesterov = not group.nesterov

    def new_arrays(self):
        for p in self.model.parameters():
            p.data = p.data * 0.9

    def the_first_array_again(self):
        self.model[0].weight.data = self.arrays[0]

    def load(self):
        with contextlib.suppress(ValueError):  # it had another momentum
            self.optimizer.load_state_dict(self.kept)

    def some_gradients_only(self):
        self.optimizer.zero_grad()
        weight = self.model[0].weight
        weight.grad = np.ones_like(weight.data)
        self.optimizer.step()

    def freeze(self):
        first = self.model[0]
        first.freeze(first.weight.requires_grad)

    def another_optimizer(self):
        weight = self.model[0].weight
        weight.grad = np.ones_like(weight.data)
        self.other.step()
        weight.grad = None

    def a_wrong_setting(self):
        rate = self.optimizer.groups[0].lr
        self.optimizer.groups[0].lr = -1.0
        with pytest.raises(ValueError, match="lr is at least 0"):
            self.step(*self.batch())
        self.optimizer.groups[0].lr = rate


EVENTS = [name for name in vars(Events) if not name.startswith("_") and name != "batch"]


@pytest.mark.parametrize("loops", [False, True], ids=["NumPy", "loops"])
@pytest.mark.parametrize("name", MAKE)
@given(events=st.lists(st.sampled_from(EVENTS), max_size=12))
def test_it_does_what_the_eager_one_does(name, loops, events):
    with loops_in_python() if loops else contextlib.nullcontext():
        ours, expected = Events(name, compiled=True), Events(name, compiled=False)
        for event in ["learn", *events, "learn"]:
            for side in (ours, expected):
                getattr(side, event)()
    for p, q in zip(ours.model.parameters(), expected.model.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


class Drawing(optim.SGD):
    """Its numbers are others each time that it is asked."""

    def __init__(self, parameters):
        super().__init__(parameters, 0.1)
        self.rng = np.random.default_rng(0)

    def fused(self, step, settings):
        loop, (rate,) = super().fused(step, settings)
        return loop, (rate * self.rng.random(),)


@pytest.mark.parametrize("rows", [1, 3])
def test_it_asks_once_for_the_numbers_of_a_loop(rows):
    found = []
    for made in (tg.compile, lambda f: f):
        model = network("SGD")
        step = made(learning_step(model, Drawing(model.parameters())))
        with loops_in_python():
            for _ in range(6):
                step(tg.Tensor(np.ones((rows, 3))), tg.Tensor(np.zeros(rows, int)))
        found.append(model[0].weight.data)
    np.testing.assert_array_equal(*found)


def test_a_parameter_without_elements_is_no_obstacle():
    model = network("SGD")
    empty = tg.Tensor(np.ones((0, 3), np.float32), requires_grad=True)
    optimizer = optim.SGD([*model.parameters(), empty], 0.1)

    @tg.compile
    def step(x):
        optimizer.zero_grad()
        loss = np.sum(model(x)) + np.sum(empty)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(np.ones((2, 3))).item() for _ in range(5)]
    assert sorted(losses, reverse=True) == losses
    assert losses[-1] < losses[0]
