"""A compiled step gives the bits of the step itself: results, gradients, parameters, state."""

import functools

import numpy as np
import pytest
from learning import learning_step

import tinygrad_fm as tg
from tinygrad_fm import nn, optim

WIDE = {"dtype": np.float64}


def network(*middle):
    first, last = nn.Linear(12, 8, rng=0, **WIDE), nn.Linear(8, 4, rng=1, **WIDE)
    return nn.Sequential(first, *middle, last)


class Residual(nn.Module):
    """A network of one's own: branches, slices, a product of parts, a parameter used twice."""

    def __init__(self):
        self.inner = nn.Linear(12, 12, rng=0, **WIDE)
        self.scale = nn.Parameter(np.linspace(0.5, 1.5, 12))
        self.out = nn.Linear(6, 4, rng=1, **WIDE)

    def forward(self, x):
        y = np.tanh(self.inner(x)) * self.scale + x * self.scale
        return self.out(y[:, :6] * y[:, 6:])


def images(x):
    return x.reshape(-1, 1, 3, 4)


MODELS = {
    "ReLU": lambda: network(nn.ReLU()),
    "tanh": lambda: network(nn.Tanh()),
    "sigmoid": lambda: network(nn.Sigmoid()),
    "LeakyReLU": lambda: network(nn.LeakyReLU(0.1)),
    "GELU": lambda: network(nn.GELU()),
    "ELU": lambda: network(nn.ELU()),
    "softplus": lambda: network(nn.Softplus()),
    "SiLU": lambda: network(nn.SiLU()),
    "BatchNorm": lambda: network(nn.BatchNorm1d(8, **WIDE), nn.ReLU()),
    "LayerNorm": lambda: network(nn.LayerNorm(8, **WIDE)),
    "Dropout": lambda: network(nn.ReLU(), nn.Dropout(0.5, rng=3)),
    "of one's own": Residual,
    "convolution": lambda: nn.Sequential(
        images,
        nn.Conv2d(1, 3, 3, padding=1, rng=0, **WIDE),
        nn.BatchNorm2d(3, **WIDE),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6, 4, rng=1, **WIDE),
    ),
}
OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01),
}
VARIANTS = {
    "plain": {},
    "clipped": {"clip": 0.1},
    "penalty": {"penalty": 0.01},
    "two batches an update": {"accumulate": True},
}


def train(make_model, make_optimizer, compiled, clip=None, penalty=None, accumulate=False):
    """Six steps; everything that can be seen of them."""
    model = make_model()
    optimizer = make_optimizer(model.parameters())
    loss_of, l2 = nn.CrossEntropyLoss(), nn.L2Penalty(penalty or 0.0)

    def step(x, y):
        optimizer.zero_grad()
        logits = model(x)
        loss = loss_of(logits, y)
        if penalty:
            loss = loss + l2(model)
        loss.backward()
        if accumulate:
            loss_of(model(x * 0.5), y).backward()
        norm = optim.clip_by_norm(model.parameters(), clip) if clip else 0.0
        optimizer.step()
        return {"loss": loss, "logits": logits, "norm": norm}

    run = tg.compile(step) if compiled else step
    rng = np.random.default_rng(0)
    seen = []
    for i in range(6):
        optimizer.lr = 0.1 / (i + 1)
        x, y = rng.standard_normal((5, 12)), rng.integers(4, size=5)
        found = run(x if compiled else tg.Tensor(x), y)
        seen += [np.array(getattr(part, "data", part)) for part in found.values()]
        seen += [p.grad.data.copy() for p in model.parameters()]
    if compiled:
        assert run.program.instructions
    return [*seen, *model.state_dict().values()]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_a_training_step_is_the_same_bit_for_bit(model, optimizer, variant):
    if model == "BatchNorm" and variant == "two batches an update":
        pytest.skip("a BatchNorm refuses to be used twice in one step")
    plain, compiled = (
        train(MODELS[model], OPTIMIZERS[optimizer], c, **VARIANTS[variant]) for c in (False, True)
    )
    for a, b in zip(plain, compiled, strict=True):
        if model == "convolution":  # sums over another memory order round otherwise
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rows", [1, 5])
def test_layers_of_two_dtypes_are_the_same_bit_for_bit(rows):
    found = []
    for wrap in (lambda step: step, tg.compile):
        layers = nn.Linear(33, 20, rng=0, **WIDE), nn.Tanh(), nn.Linear(20, 9, rng=1)
        model = nn.Sequential(*layers)
        step = wrap(learning_step(model, optim.SGD(model.parameters(), 0.1)))
        draw = np.random.default_rng(1)
        for _ in range(4):
            step(
                tg.Tensor(draw.standard_normal((rows, 33))), tg.Tensor(draw.integers(9, size=rows))
            )
        found.append([p.data for p in model.parameters()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("view", [np.s_[:, ::-1], np.s_[::-1], np.s_[:, ::2], np.s_[:]])
def test_products_of_views_are_the_same_bit_for_bit(rows, view):
    draw = functools.partial(np.random.default_rng(0).standard_normal, dtype=np.float32)
    x, w = draw((rows, 64))[view], draw((64, 64))[view]
    w = tg.Tensor(w[: x.shape[1]], requires_grad=True)

    def step(x):
        w.grad = None
        y = x @ w
        (y * y).sum().backward()
        return y, w.grad.detach()

    run = tg.compile(step)
    for _ in range(3):
        found = run(x)
    for a, b in zip(found, step(tg.Tensor(x)), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_an_empty_array_has_an_empty_gradient():
    a = tg.Tensor(np.ones((0, 3)), requires_grad=True)

    @tg.compile
    def step():
        a.grad = None
        (a * a).sum().backward()
        return a.grad.detach()

    for _ in range(3):
        assert step().shape == (0, 3)


def test_float32_stays_float32():
    model = nn.Sequential(nn.Linear(12, 8, rng=0), nn.GELU(), nn.Linear(8, 4, rng=1))
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    @tg.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for i in range(3):
        assert step(np.full((5, 12), i, np.float32), np.arange(5) % 4).dtype == np.float32
    assert "float64" not in step.source
