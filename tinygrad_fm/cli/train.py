"""`tinygrad-fm train`: a multilayer perceptron, from images to a run folder."""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm import data, nn, optim, train
from tinygrad_fm.cli.data import checked_name
from tinygrad_fm.cli.run_folder import RunFolder
from tinygrad_fm.cli.text import CommandError, UsageError, bold

FULL, SHIPPED = "fashion-mnist", "fashion-mnist-mini"
RATES = {"adam": 1e-3, "sgd": 0.02}
INTERRUPTED = 130


@dataclass(frozen=True)
class Settings:
    """What a run is made with; the same settings give the same weights, bit for bit."""

    data: str
    epochs: int
    batch_size: int
    lr: float
    hidden: tuple[int, ...]
    optimizer: str
    momentum: float | None
    seed: int


def run(arguments: argparse.Namespace) -> int:
    """Train, measure, and write; returns the exit code."""
    if arguments.momentum is not None and arguments.optimizer != "sgd":
        raise UsageError(f"--momentum is for --optimizer sgd, not {arguments.optimizer}")
    name, why = _choose_data(arguments)
    try:
        dataset = data.load(name, arguments.data_root)
    except data.DataError as error:
        raise CommandError(error) from error
    settings = _settings(arguments, name)
    if settings.batch_size > len(dataset.train_images):
        raise UsageError(
            f"--batch-size {settings.batch_size:,} is more than the "
            f"{len(dataset.train_images):,} training images of {name}"
        )
    folder = RunFolder(arguments.out)
    try:
        return _train(settings, dataset, why, folder)
    finally:
        folder.remove_if_empty()


def _train(settings: Settings, dataset: data.Dataset, why: str, folder: RunFolder) -> int:
    start = time.perf_counter()
    model, name = build_model(settings, dataset)
    optimizer = build_optimizer(settings, model)
    loss = nn.CrossEntropyLoss()
    loader = data.Loader(
        dataset.train_images,
        dataset.train_labels,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )
    print(_introduction(settings, dataset, why, name, loader))
    print(f"\n{model.summary()}\n", flush=True)
    try:
        history = train.fit(
            model,
            loss,
            optimizer,
            loader,
            epochs=settings.epochs,
            validation=(dataset.test_images, dataset.test_labels),
        )
    except train.NonFiniteError as error:
        raise CommandError(error) from error
    seconds = time.perf_counter() - start
    if history.interrupted:
        print(f"interrupted after {len(history)} of {settings.epochs} epochs; the weights are kept")
    return _finish(settings, dataset, folder, model, loss, history, seconds, name)


def _finish(
    settings: Settings,
    dataset: data.Dataset,
    folder: RunFolder,
    model: nn.Module,
    loss: Any,
    history: train.History,
    seconds: float,
    name: str,
) -> int:
    """Measure the model on the test images, and write the run folder."""
    images = data.flatten(data.scale(dataset.test_images))
    labels = dataset.test_labels
    test_loss, accuracy = train.evaluate(model, loss, images, labels)
    matrix = train.confusion_matrix(
        train.predict(model, images), labels, classes=len(dataset.class_names)
    )
    right = int(matrix.trace())
    print(
        f"\n{bold(f'test accuracy {accuracy:.2%}')} ({right:,} of {len(labels):,} images), "
        f"loss {test_loss:.4f}, after {seconds:.1f} s"
    )
    batch = data.flatten(data.scale(dataset.train_images[: settings.batch_size]))
    folder.write_history(history)
    folder.write_weights(model)
    folder.write_result(settings, dataset, model, history, test_loss, accuracy, seconds)
    title = f"{name} on {dataset.name}"
    folder.write_confusion(matrix, dataset.class_names, f"{title}: {accuracy:.2%} right")
    folder.write_curves(history, title)
    folder.write_graph(loss(model(batch), dataset.train_labels[: settings.batch_size]))
    print(f"\n{folder.report()}")
    return INTERRUPTED if history.interrupted else 0


def build_model(settings: Settings, dataset: data.Dataset) -> tuple[nn.Sequential, str]:
    """A perceptron with ReLU between its layers, and its name, such as 784-128-64-10."""
    rng = np.random.default_rng(settings.seed)
    pixels = int(np.prod(dataset.train_images.shape[1:]))
    sizes = [pixels, *settings.hidden, len(dataset.class_names)]
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs, rng=rng), nn.ReLU()]
    return nn.Sequential(*layers[:-1]), "-".join(map(str, sizes))


def build_optimizer(settings: Settings, model: nn.Module) -> optim.Optimizer:
    """The optimizer of the settings, for all of the model's parameters."""
    if settings.optimizer == "sgd":
        return optim.SGD(model.parameters(), settings.lr, settings.momentum or 0.0)
    return optim.Adam(model.parameters(), settings.lr)


def _choose_data(arguments: argparse.Namespace) -> tuple[str, str]:
    """The name of the data set, and why it is this one."""
    if arguments.data is not None:
        return checked_name(arguments.data), "as asked for with --data"
    if arguments.data_root is not None:
        return FULL, "in the folder given with --data-root"
    if data.find(FULL) is not None:
        return FULL, "the full set, because it was found on this machine"
    return SHIPPED, (
        f"shipped with tinygrad_fm, because {FULL} was not found; to get it: "
        f"tinygrad-fm data fetch {FULL}"
    )


def _settings(arguments: argparse.Namespace, name: str) -> Settings:
    small = name == SHIPPED  # fewer images: smaller batches and fewer epochs until it overfits
    momentum = 0.9 if arguments.momentum is None else arguments.momentum
    return Settings(
        data=name,
        epochs=arguments.epochs or (15 if small else 20),
        batch_size=arguments.batch_size or (32 if small else 128),
        lr=arguments.lr or RATES[arguments.optimizer],
        hidden=arguments.hidden,
        optimizer=arguments.optimizer,
        momentum=momentum if arguments.optimizer == "sgd" else None,
        seed=arguments.seed,
    )


def _introduction(
    settings: Settings, dataset: data.Dataset, why: str, name: str, loader: data.Loader
) -> str:
    momentum = "" if settings.momentum is None else f", momentum {settings.momentum:g}"
    size = "x".join(map(str, dataset.train_images.shape[1:]))
    lines = [
        ("data", f"{dataset.name}, {why}"),
        ("", f"read from {dataset.source}"),
        (
            "",
            f"{len(dataset.train_images):,} training and {len(dataset.test_images):,} test images "
            f"of {size}, {len(dataset.class_names)} classes",
        ),
        ("model", f"{name}" + (" with ReLU" if settings.hidden else "")),
        (
            "training",
            f"{settings.epochs} epochs of {len(loader):,} batches of {settings.batch_size}, "
            f"{settings.optimizer}, learning rate {settings.lr:g}{momentum}, seed {settings.seed}",
        ),
        ("validation", "on the test images, which only measure: nothing is chosen by them"),
    ]
    return "\n".join(f"{bold(f'{key:<10}')}  {text}" for key, text in lines)
