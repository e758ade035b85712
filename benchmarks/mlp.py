"""A training step of the reports' perceptrons: forward, backward, SGD with momentum; float32."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from benchmarks import mlp_numpy, mlp_peers
from benchmarks.measure import Case, Step
from benchmarks.networks import (
    LEARNING_RATE,
    MOMENTUM,
    REPORTS,
    SLOPE,
    SMALL,
    Problem,
    problem,
)

BATCHES = (1, 32, 128)


def _activation(nn: Any, name: str) -> Any:
    """The module of that name; tinygrad_fm's and PyTorch's have the same names."""
    return {"relu": nn.ReLU, "tanh": nn.Tanh, "leaky_relu": partial(nn.LeakyReLU, SLOPE)}[name]()


def training_step(model: Any, loss_of: Any, optimizer: Any) -> Callable[[Any, Any], Any]:
    """The same lines for tinygrad_fm and for PyTorch."""

    def step(images: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _on(step: Callable[[Any, Any], Any], images: Any, labels: Any) -> Step:
    """Training on one batch; what is read is the loss, as a training loop reads it."""
    return lambda: (step(images, labels).item(),)


def ours(p: Problem) -> Any:
    """The network, with the weights that all contenders start from."""
    from tinygrad_fm import nn

    layers: list[Any] = []
    for w, b in zip(p.weights, p.biases, strict=True):
        layer = nn.Linear(*w.shape)
        layer.weight.data, layer.bias.data = w, b
        layers += [layer, _activation(nn, p.network.activation)]
    return nn.Sequential(*layers[:-1])


def our_training(p: Problem) -> tuple[Callable[[Any, Any], Any], Any]:
    """A training step, and its optimizer."""
    from tinygrad_fm import nn, optim

    model = ours(p)
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    return training_step(model, nn.CrossEntropyLoss(), optimizer), optimizer


def with_tinygrad_fm(p: Problem) -> Step:
    return _on(our_training(p)[0], p.images, p.labels)


def with_tinygrad_fm_compiled(p: Problem) -> Step:
    import tinygrad_fm as tg

    return _on(tg.compile(our_training(p)[0]), p.images, p.labels)


def theirs(p: Problem) -> Any:
    """The same network in PyTorch."""
    import torch

    layers: list[Any] = []
    for w, b in zip(p.weights, p.biases, strict=True):
        layer = torch.nn.Linear(*w.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w.T))
            layer.bias.copy_(torch.from_numpy(b))
        layers += [layer, _activation(torch.nn, p.network.activation)]
    return torch.nn.Sequential(*layers[:-1])


def with_pytorch(p: Problem, **form: bool) -> Step:
    import torch

    model = theirs(p)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, **form)
    step = training_step(model, torch.nn.CrossEntropyLoss(), optimizer)
    return _on(step, torch.from_numpy(p.images), torch.from_numpy(p.labels))


@cache
def _compiled_by_pytorch(p: Problem) -> tuple[Any, Any]:
    """A network, and the compiled function from a batch to its loss: a matter of seconds."""
    import torch

    torch._dynamo.reset()  # it counts all networks as recompilations of one function, and gives up
    model, loss_of = theirs(p), torch.nn.CrossEntropyLoss()

    @torch.compile(dynamic=False, fullgraph=True)
    def loss(images: Any, labels: Any) -> Any:
        return loss_of(model(images), labels)

    return model, loss


def with_torch_compile(p: Problem) -> Step:
    import torch

    if os.environ.get("TORCHDYNAMO_DISABLE") == "1":
        raise RuntimeError("TORCHDYNAMO_DISABLE is set")
    model, loss = _compiled_by_pytorch(p)
    model.load_state_dict(theirs(p).state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)
    step = training_step(lambda images: images, loss, optimizer)
    return _on(step, torch.from_numpy(p.images), torch.from_numpy(p.labels))


CONTENDERS: dict[str, Callable[[Problem], Step]] = {
    "tinygrad_fm": with_tinygrad_fm,
    "tinygrad_fm, compiled": with_tinygrad_fm_compiled,
    "NumPy by hand": mlp_numpy.by_hand,
    "NumPy, planned": mlp_numpy.planned,
    "GEMMs alone": mlp_numpy.products_alone,
    "PyTorch, SGD fused": partial(with_pytorch, fused=True),
    "PyTorch, SGD foreach": partial(with_pytorch, foreach=True),
    "PyTorch, SGD single": partial(with_pytorch, foreach=False),
    "torch.compile, SGD fused": with_torch_compile,
    "JAX jit": mlp_peers.with_jax,
    "MyGrad": mlp_peers.with_mygrad,
    "HIPS autograd": mlp_peers.with_autograd,
    "scikit-learn": mlp_peers.with_scikit_learn,
}


def case(
    name: str, p: Problem, contenders: dict[str, Callable[[Problem], Step]], **how: Any
) -> Case:
    """These contenders on this problem; five steps of each must give the same losses."""
    prepared = {contender: partial(prepare, p) for contender, prepare in contenders.items()}
    return Case(name, prepared, check=5, **how)


def cases(quick: bool) -> list[Case]:
    if quick:
        fast = {name: c for name, c in CONTENDERS.items() if c is not with_torch_compile}
        return [case(f"mlp {SMALL}, batch 5", problem(SMALL, 5), fast, turn=0.001)]
    return [
        case(
            f"report {report}: {network}, batch {batch}: one training step",
            problem(network, batch),
            CONTENDERS,
            rounds=20,
        )
        for report, network in REPORTS.items()
        for batch in BATCHES
    ]
