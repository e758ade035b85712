"""Whole training runs: how long until a fixed accuracy on the test images, by the same recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import mlp, networks
from benchmarks.trial import Trial

# at twice this rate two runs with the same batches reach the accuracy some hundreds of steps apart
BATCH, LEARNING_RATE, MOMENTUM = 64, 0.02, 0.9


@dataclass(frozen=True)
class Task:
    """Images scaled to 0..1 and flat, the accuracy that ends a run, and how often one looks."""

    name: str
    network: networks.Network
    images: Any
    labels: Any
    test_images: Any
    test_labels: Any
    target: float
    every: int  # steps between two looks at the test images
    most_steps: int = 40_000


@dataclass(frozen=True)
class Run:
    """What a contender needs: initial weights, and batches of the training set without end.

    `train` does one step on a batch, `scores` returns the logits of images.
    """

    train: Callable[[Any, Any], Any]
    scores: Callable[[Any], Any]


def task(quick: bool) -> Task:
    """Fashion-MNIST where it is found; otherwise the part that ships, with a lower aim."""
    from tinygrad_fm import data

    name, target, every = "fashion-mnist", 0.88, 250
    if quick or data.find(name) is None:
        name, target = "fashion-mnist-mini", 0.82
    if quick:
        target, every = 0.3, 10
    found = data.load(name)

    def flat(images: Any) -> Any:
        return images.reshape(len(images), -1).astype(np.float32) / 255

    return Task(
        name,
        networks.REPORTS["000"],
        flat(found.train_images),
        found.train_labels,
        flat(found.test_images),
        found.test_labels,
        target,
        every,
    )


def _batches(count: int, seed: int) -> Iterator[Any]:
    """Rows of one batch after the other: a new order for each pass, the short rest left out."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(count)
        yield from (order[i : i + BATCH] for i in range(0, count - BATCH + 1, BATCH))


def _initial(t: Task, seed: int) -> networks.Problem:
    """The same initial weights for all that let one choose them: He's, drawn by the seed."""
    rng = np.random.default_rng(seed)
    p = networks.problem(t.network, 1)
    weights = [
        rng.standard_normal(w.shape, dtype=np.float32) * np.float32((2 / len(w)) ** 0.5)
        for w in p.weights
    ]
    return networks.Problem(t.network, p.images, p.labels, weights, p.biases)


def _until(t: Task, seed: int, images: Any, labels: Any, run: Run, index: Any) -> Any:
    """Train until the accuracy is reached; the seconds, the steps and the accuracy then."""
    begin = perf_counter()
    for step, rows in enumerate(_batches(len(t.labels), seed), 1):
        rows = index(rows)
        run.train(images[rows], labels[rows])
        if step % t.every == 0:
            accuracy = float(np.mean(run.scores(t.test_images).argmax(axis=1) == t.test_labels))
            if accuracy >= t.target:
                return perf_counter() - begin, {"steps": step, "accuracy": accuracy}
            if step >= t.most_steps:
                raise RuntimeError(f"accuracy {accuracy:.4f} after {step} steps")
    raise AssertionError("the batches never end")


def with_tinygrad_fm(t: Task, seed: int, compiled: bool = False) -> Any:
    import tinygrad_fm as tg
    from tinygrad_fm import nn, optim

    compile_step = tg.compile if compiled else lambda step: step
    model = mlp.ours(_initial(t, seed))
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    step = compile_step(mlp.training_step(model, nn.CrossEntropyLoss(), optimizer))

    def scores(images: Any) -> Any:
        return model.predict(images)

    return _until(t, seed, t.images, t.labels, Run(step, scores), lambda rows: rows)


def with_pytorch(t: Task, seed: int) -> Any:
    import torch

    model = mlp.theirs(_initial(t, seed))
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)
    step = mlp.training_step(model, torch.nn.CrossEntropyLoss(), optimizer)

    def scores(images: Any) -> Any:
        with torch.no_grad():
            return model(torch.from_numpy(images)).numpy()

    images, labels = torch.from_numpy(t.images), torch.from_numpy(t.labels)
    return _until(t, seed, images, labels, Run(step, scores), torch.from_numpy)


def with_scikit_learn(t: Task, seed: int) -> Any:
    """It shuffles and cuts batches itself: partial_fit gets so many batches at once."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        t.network.sizes[1:-1],
        t.network.activation,
        solver="sgd",
        alpha=0,
        batch_size=BATCH,
        learning_rate_init=LEARNING_RATE,
        momentum=MOMENTUM,
        nesterovs_momentum=False,
        random_state=seed,
    )
    classes = np.arange(t.network.sizes[-1])
    batches = _batches(len(t.labels), seed)
    begin = perf_counter()
    for step in range(t.every, t.most_steps + 1, t.every):
        rows = np.concatenate([next(batches) for _ in range(t.every)])
        model.partial_fit(t.images[rows], t.labels[rows], classes=classes)
        accuracy = float(np.mean(model.predict(t.test_images) == t.test_labels))
        if accuracy >= t.target:
            return perf_counter() - begin, {"steps": step, "accuracy": accuracy}
    raise RuntimeError(f"accuracy {accuracy:.4f} after {step} steps")


CONTENDERS = {
    "tinygrad_fm": with_tinygrad_fm,
    "tinygrad_fm, compiled": partial(with_tinygrad_fm, compiled=True),
    "PyTorch, SGD fused": with_pytorch,
    "scikit-learn": with_scikit_learn,
}


def trials(quick: bool) -> list[Trial]:
    """Interleaved; each round is another seed. Tracing and looking at the test images count too."""
    t = task(quick)
    return [
        Trial(
            f"training on {t.name}, {t.network}, batch {BATCH}: to {t.target:.0%} of the test "
            f"images, by SGD with rate {LEARNING_RATE} and momentum {MOMENTUM}",
            {name: partial(run, t) for name, run in CONTENDERS.items()},
            "s",
            rounds=21,  # by the luck of rounding steps vary by a seventh, and ratios by a fifth
        )
    ]
