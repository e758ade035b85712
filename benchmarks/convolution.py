"""Convolutions, forward and backward, and a training step of report 003's CNN; float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import COMPILED, REFERENCE, Case, Step

SHAPES = [  # size of the image, channels, size of the kernel, kernels
    (28, 1, 5, 128),  # the three of report 003
    (14, 128, 5, 256),
    (7, 256, 5, 512),
    *((size, channels, 3, channels) for size in (28, 14, 7) for channels in (32, 64, 128)),
]
BATCHES = (1, 32, 128)


@dataclass(frozen=True)
class Problem:
    """Images (N, C, H, W), kernels (O, C, K, K), biases, and the gradient of the result."""

    images: Any
    weight: Any
    bias: Any
    gradient: Any


def problem(batch: int, size: int, channels: int, kernel: int, kernels: int) -> Problem:
    """Random numbers, the same for every contender, of which each makes what its layers make."""
    rng = np.random.default_rng(0)
    draw = partial(rng.standard_normal, dtype=np.float32)
    return Problem(
        draw((batch, channels, size, size)),
        draw((kernels, channels, kernel, kernel)) / np.float32(kernel * channels**0.5),
        draw(kernels),
        draw((batch, kernels, size, size)),
    )


def with_tinygrad_fm(p: Problem, method: str = "auto", compiled: bool = False) -> Step:
    import tinygrad_fm as tg
    from tinygrad_fm import Tensor, nn

    # as a layer before this one returns them, and one behind it hands back
    images, gradient = (
        np.ascontiguousarray(a.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
        for a in (p.images, p.gradient)
    )
    outputs, channels, kernel, _ = p.weight.shape
    layer = nn.Conv2d(channels, outputs, kernel, padding=kernel // 2, method=method)
    layer.weight.data, layer.bias.data = p.weight, p.bias
    x = Tensor(images, requires_grad=channels > 1)  # a first layer's images need no gradient

    def both_ways(gradient: Any) -> Any:
        x.grad = layer.weight.grad = layer.bias.grad = None
        y = layer(x)
        y.backward(gradient)
        return y.detach()[0]

    run = tg.compile(both_ways) if compiled else both_ways

    def step() -> tuple[Any, ...]:
        first = run(gradient)
        return (first.data, layer.weight.grad.data[0])

    return step


def with_pytorch(p: Problem, memory_format: str = "contiguous_format") -> Step:
    import torch

    images, gradient, weight = (
        torch.from_numpy(a).to(memory_format=getattr(torch, memory_format))
        for a in (p.images, p.gradient, p.weight)
    )
    outputs, channels, kernel, _ = p.weight.shape
    layer = torch.nn.Conv2d(channels, outputs, kernel, padding=kernel // 2)
    layer.weight = torch.nn.Parameter(weight)
    layer.bias = torch.nn.Parameter(torch.from_numpy(p.bias))
    x = images.requires_grad_(channels > 1)

    def step() -> tuple[Any, ...]:
        x.grad = layer.weight.grad = layer.bias.grad = None
        y = layer(x)
        y.backward(gradient)
        return (y.detach()[0].numpy(), layer.weight.grad[0].numpy())

    return step


CONTENDERS: dict[str, Callable[[Problem], Step]] = {
    REFERENCE: with_tinygrad_fm,
    COMPILED: partial(with_tinygrad_fm, compiled=True),
    "PyTorch": with_pytorch,
    "PyTorch, channels last": partial(with_pytorch, memory_format="channels_last"),
}

# ---- report 003's network ------------------------------------------------------------------------

CONVOLUTIONS = [(1, 128), (128, 256), (256, 512)]
LINEAR = [(25088, 128), (128, 64), (64, 10)]
LEARNING_RATE, EPSILON, SLOPE = 1e-4, 1e-7, 0.1


@dataclass(frozen=True)
class Network:
    """A batch, and initial weights in the order of the layers: (O, C, 5, 5), (inputs, outputs)."""

    images: Any
    labels: Any
    kernels: list[Any]
    weights: list[Any]


def network(batch: int) -> Network:
    """Random images and labels, and Glorot's initial weights, the same for every contender."""
    rng = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...], fans: int) -> Any:
        limit = np.float32((6 / fans) ** 0.5)
        return rng.uniform(-limit, limit, shape).astype(np.float32)

    return Network(
        rng.random((batch, 1, 28, 28), dtype=np.float32),
        rng.integers(10, size=batch),
        [drawn((o, c, 5, 5), 25 * (c + o)) for c, o in CONVOLUTIONS],
        [drawn((n, m), n + m) for n, m in LINEAR],
    )


def _layers(nn: Any) -> list[Any]:
    """The same lines for tinygrad_fm and for PyTorch."""
    layers: list[Any] = []
    for i, (c, o) in enumerate(CONVOLUTIONS):
        layers += [nn.Conv2d(c, o, 5, padding=2), nn.Tanh(), *([nn.MaxPool2d(2)] if i < 2 else [])]
    layers.append(nn.Flatten())
    for n, m in LINEAR:
        layers += [nn.Linear(n, m), nn.LeakyReLU(SLOPE)]
    return layers[:-1]


def _training_step(model: Any, loss_of: Any, optimizer: Any, images: Any, labels: Any) -> Step:
    def step() -> tuple[float]:
        optimizer.zero_grad()
        loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        return (loss.item(),)

    return step


def network_with_tinygrad_fm(p: Network) -> Step:
    from tinygrad_fm import nn, optim

    layers = _layers(nn)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for layer, w in zip([*convolutions, *linear], [*p.kernels, *p.weights], strict=True):
        layer.weight.data, layer.bias.data = w, np.zeros_like(layer.bias.data)
    model = nn.Sequential(*layers)
    optimizer = optim.Adam(model.parameters(), lr=LEARNING_RATE, eps=EPSILON)
    return _training_step(model, nn.CrossEntropyLoss(), optimizer, p.images, p.labels)


def network_with_pytorch(p: Network, **form: bool) -> Step:
    import torch
    from torch import nn

    layers = _layers(nn)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, w in zip(convolutions, p.kernels, strict=True):
            layer.weight.copy_(torch.from_numpy(w))
            layer.bias.zero_()
        for layer, w in zip(linear, p.weights, strict=True):
            layer.weight.copy_(torch.from_numpy(w.T))
            layer.bias.zero_()
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, eps=EPSILON, **form)
    images, labels = torch.from_numpy(p.images), torch.from_numpy(p.labels)
    return _training_step(model, nn.CrossEntropyLoss(), optimizer, images, labels)


NETWORKS: dict[str, Callable[[Network], Step]] = {
    "tinygrad_fm": network_with_tinygrad_fm,
    "PyTorch, Adam fused": partial(network_with_pytorch, fused=True),
    "PyTorch, Adam foreach": partial(network_with_pytorch, foreach=True),
}


def cases(quick: bool) -> list[Case]:
    found = []
    for batch in (2,) if quick else BATCHES:
        for shape in [(8, 2, 3, 2)] if quick else SHAPES:
            size, channels, kernel, kernels = shape
            p = problem(batch, *shape)
            name = f"{size}x{size}, {channels} channels, {kernels} kernels {kernel}x{kernel}"
            found.append(
                Case(
                    f"convolution {name}, batch {batch}: forward and backward",
                    {who: partial(prepare, p) for who, prepare in CONTENDERS.items()},
                    turn=0.05,
                    rounds=20,
                )
            )
    if not quick:
        images = network(32)
        found.append(
            Case(
                "report 003's CNN, batch 32: one training step",
                {who: partial(prepare, images) for who, prepare in NETWORKS.items()},
                check=2,
                rtol=1e-3,
                turn=0,
                rounds=9,
            )
        )
    return found
