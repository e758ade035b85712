"""Report 003's training steps: four dense layers with batch norm, and the CNN; Adam, batch 32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.measure import Case, Step

LEARNING_RATE, EPS, PENALTY = 1e-4, 1e-7, 1e-4  # Keras's Adam; the penalty is on dense kernels
SLOPE, BATCH = 0.1, 32


@dataclass(frozen=True)
class Layout:
    """Channels of the convolutions and lengths of the dense layers; `size` pixels a side."""

    size: int
    channels: tuple[int, ...]
    dense: tuple[int, ...]
    kernel: int = 5

    def __str__(self) -> str:
        return "-".join(map(str, (*self.channels, *self.dense)))


FULLY_CONNECTED = Layout(28, (), (1024, 512, 256, 10))
CONVOLUTIONAL = Layout(28, (128, 256, 512), (128, 64, 10))
SMALL_FULLY_CONNECTED = Layout(4, (), (8, 6, 4))
SMALL_CONVOLUTIONAL = Layout(8, (3, 4, 5), (8, 6, 4), kernel=3)


def layers(nn: Any, layout: Layout) -> list[Any]:
    """The network's layers; tinygrad_fm's and PyTorch's take the same arguments.

    Batch norm follows the dense layers where there are no convolutions. Keras counts what batch
    norm keeps (.99), the others what is new (.01).
    """
    found, inputs, size = [], 1, layout.size
    for i, channels in enumerate(layout.channels):
        padding = layout.kernel // 2
        found += [nn.Conv2d(inputs, channels, layout.kernel, padding=padding), nn.Tanh()]
        if i < 2:
            found.append(nn.MaxPool2d(2))
            size //= 2
        inputs = channels
    found.append(nn.Flatten())
    inputs *= size * size
    for outputs in layout.dense[:-1]:
        found += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
        if not layout.channels:
            found.append(nn.BatchNorm1d(outputs, eps=1e-3, momentum=0.01))
        inputs = outputs
    return [*found, nn.Linear(inputs, layout.dense[-1])]


def batch(layout: Layout) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    shape = (BATCH, 1, layout.size, layout.size)
    return rng.random(shape, dtype=np.float32), rng.integers(layout.dense[-1], size=BATCH)


def weights(layout: Layout) -> list[Any]:
    """Glorot's uniform weights for the layers that have some, PyTorch's way round."""
    rng = np.random.default_rng(1)
    found, inputs, size = [], 1, layout.size
    for i, channels in enumerate(layout.channels):
        shape = (channels, inputs, layout.kernel, layout.kernel)
        found.append(_glorot(rng, shape, layout.kernel**2))
        inputs, size = channels, size // 2 if i < 2 else size
    inputs *= size * size
    for outputs in layout.dense:
        found.append(_glorot(rng, (outputs, inputs), 1))
        inputs = outputs
    return found


def _glorot(rng: Any, shape: tuple[int, ...], area: int) -> Any:
    limit = (6 / (area * (shape[0] + shape[1]))) ** 0.5
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def _training_step(model: Any, loss_of: Any, optimizer: Any) -> Callable[[Any, Any], Any]:
    def step(images: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model, images, labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _our_training(layout: Layout) -> Callable[[Any, Any], Any]:
    from tinygrad_fm import nn, optim

    model = nn.Sequential(*layers(nn, layout))
    with_weights = [m for m in model if isinstance(m, (nn.Linear, nn.Conv2d))]
    for layer, w in zip(with_weights, weights(layout), strict=True):
        layer.weight.data = np.ascontiguousarray(w.T) if isinstance(layer, nn.Linear) else w
        layer.bias.data = np.zeros_like(layer.bias.data)
    dense = [m for m in model if isinstance(m, nn.Linear)]
    cross_entropy, penalty = nn.CrossEntropyLoss(), nn.L2Penalty(PENALTY)

    def loss_of(model: Any, images: Any, labels: Any) -> Any:
        return cross_entropy(model(images), labels) + sum(penalty(layer) for layer in dense)

    optimizer = optim.Adam(model.parameters(), lr=LEARNING_RATE, eps=EPS)
    return _training_step(model, loss_of, optimizer)


def with_tinygrad_fm(layout: Layout) -> Step:
    step, (images, labels) = _our_training(layout), batch(layout)
    return lambda: (step(images, labels).item(),)


def with_tinygrad_fm_compiled(layout: Layout) -> Step:
    import tinygrad_fm as tg

    step, (images, labels) = tg.compile(_our_training(layout)), batch(layout)
    return lambda: (step(images, labels).item(),)


def _their_model(layout: Layout) -> tuple[Any, Any]:
    """PyTorch's network, and its loss with the penalty."""
    import torch

    model = torch.nn.Sequential(*layers(torch.nn, layout))
    with_weights = [m for m in model if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))]
    with torch.no_grad():
        for layer, w in zip(with_weights, weights(layout), strict=True):
            layer.weight.copy_(torch.from_numpy(w))
            layer.bias.zero_()
    dense = [m for m in model if isinstance(m, torch.nn.Linear)]
    cross_entropy = torch.nn.CrossEntropyLoss()

    def loss_of(model: Any, images: Any, labels: Any) -> Any:
        penalty = sum(layer.weight.square().sum() for layer in dense)
        return cross_entropy(model(images), labels) + PENALTY * penalty

    return model, loss_of


def with_pytorch(layout: Layout, **form: bool) -> Step:
    model, loss_of = _their_model(layout)
    return _pytorch_step(layout, model, loss_of, form)


def with_torch_compile(layout: Layout) -> Step:
    model, loss = _compiled_by_pytorch(layout)
    model.load_state_dict(_their_model(layout)[0].state_dict())
    return _pytorch_step(layout, model, loss, {"fused": True})


@cache
def _compiled_by_pytorch(layout: Layout) -> tuple[Any, Any]:
    import torch

    model, loss_of = _their_model(layout)
    return model, torch.compile(loss_of, dynamic=False, fullgraph=True)


def _pytorch_step(layout: Layout, model: Any, loss_of: Any, form: dict[str, bool]) -> Step:
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, eps=EPS, **form)
    step, (images, labels) = _training_step(model, loss_of, optimizer), batch(layout)
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    return lambda: (step(images, labels).item(),)


def with_jax(layout: Layout) -> Step:
    from benchmarks import report003_jax

    return report003_jax.with_jax(layout)


CONTENDERS: dict[str, Callable[[Layout], Step]] = {
    "tinygrad_fm": with_tinygrad_fm,
    "tinygrad_fm, compiled": with_tinygrad_fm_compiled,
    "PyTorch, Adam fused": partial(with_pytorch, fused=True),
    "PyTorch, Adam foreach": partial(with_pytorch, foreach=True),
    "PyTorch, Adam single": partial(with_pytorch, foreach=False),
    "torch.compile, Adam fused": with_torch_compile,
    "JAX jit": with_jax,
}


def _case(name: str, layout: Layout, without: tuple[str, ...], **how: Any) -> Case:
    return Case(
        f"report 003's {name} {layout}, Adam, batch {BATCH}: one training step",
        {k: partial(c, layout) for k, c in CONTENDERS.items() if not k.startswith(without)},
        check=5,
        **how,
    )


def fully_connected(quick: bool) -> list[Case]:
    if quick:
        return [_case("FC", SMALL_FULLY_CONNECTED, ("torch.compile",), turn=0.001)]
    return [_case("FC", FULLY_CONNECTED, ("none",), turn=0.05)]


def convolutional(quick: bool) -> list[Case]:
    """A step takes a second: the slower forms of the optimizer would say nothing new."""
    without = ("torch.compile", "PyTorch, Adam foreach", "PyTorch, Adam single")
    layout = SMALL_CONVOLUTIONAL if quick else CONVOLUTIONAL
    return [_case("CNN", layout, without, rtol=1e-3, turn=0, rounds=8, anew=False)]
