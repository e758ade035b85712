"""`tinygrad-fm train`: a network, from images to a run folder."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_fm import data, nn, train
from tinygrad_fm.cli.build import (
    build_callbacks,
    build_loader,
    build_model,
    build_optimizer,
    model_input,
)
from tinygrad_fm.cli.data import checked, checked_name
from tinygrad_fm.cli.run_folder import RunFolder
from tinygrad_fm.cli.settings import OPTIONS, OWN_SETTINGS, RATES, Settings, read_config
from tinygrad_fm.cli.text import INTERRUPTED, CommandError, UsageError, bold, counted
from tinygrad_fm.graph import draw
from tinygrad_fm.train.threads import one_blas_thread

FULL, SHIPPED = "fashion-mnist", "fashion-mnist-mini"
HELD_OUT = 0.1  # of the training images, where something is chosen by them


@dataclass(frozen=True)
class Run:
    """A training and what it is made of."""

    settings: Settings
    why: str  # this data set
    dataset: data.Dataset
    loader: data.Loader
    validation: tuple[Any, Any]
    model: nn.Sequential
    name: str


def run(arguments: argparse.Namespace) -> int:
    """Train, measure, and write; returns the exit code."""
    given = _given(arguments)
    name, why = _choose_data(given, arguments)
    settings = settings_of(given, name)
    try:
        dataset = data.load(name, settings.data_root)
        prepared = _prepare(settings, why, dataset)
    except (data.DataError, ValueError) as error:
        raise CommandError(error) from error
    folder = RunFolder(arguments.out)
    try:
        with one_blas_thread() as threads:
            return _train(prepared, folder, threads)
    finally:
        folder.remove_if_empty()


def _prepare(settings: Settings, why: str, dataset: data.Dataset) -> Run:
    images, labels = dataset.train_images, dataset.train_labels
    validation = model_input(settings, dataset.test_images), dataset.test_labels
    if settings.validation:
        (images, labels), held_out = data.stratified_split(
            images, labels, fraction=settings.validation, seed=settings.seed
        )
        validation = model_input(settings, held_out[0]), held_out[1]
    if settings.batch_size > len(images):
        raise UsageError(
            f"--batch-size {settings.batch_size:,} is more than the {len(images):,} training "
            f"images of {dataset.name}"
            + (" that are not held out for validation" if settings.validation else "")
        )
    classes = len(dataset.class_names)
    loader = build_loader(settings, images, labels, batch_size=settings.batch_size, classes=classes)
    model, name = build_model(settings, dataset.train_images.shape[1:], classes)
    return Run(settings, why, dataset, loader, validation, model, name)


def _train(run: Run, folder: RunFolder, threads: str) -> int:
    start = time.perf_counter()
    settings, loss = run.settings, nn.CrossEntropyLoss()
    callbacks = build_callbacks(settings, len(run.loader))
    print(_introduction(run, threads))
    print(f"\n{run.model.summary()}\n", flush=True)
    try:
        history = train.fit(
            run.model,
            loss,
            build_optimizer(settings, run.model),
            run.loader,
            epochs=settings.epochs,
            validation=run.validation,
            callbacks=callbacks,
        )
    except train.NonFiniteError as error:
        raise CommandError(error) from error
    seconds = time.perf_counter() - start
    if history.interrupted:
        print(f"interrupted after {len(history)} of {settings.epochs} epochs; the weights are kept")
    for callback in callbacks:
        if isinstance(callback, train.EarlyStopping) and callback.best_epoch is not None:
            ended = f"stopped after epoch {len(history)}; " if callback.stopped else ""
            print(f"{ended}the weights are those of epoch {callback.best_epoch}, the best")
    return _finish(run, folder, loss, history, seconds)


def _finish(run: Run, folder: RunFolder, loss: Any, history: train.History, seconds: float) -> int:
    """Measure the model on the test images, and write the run folder."""
    settings, dataset, model = run.settings, run.dataset, run.model
    images, labels = model_input(settings, dataset.test_images), dataset.test_labels
    test_loss, accuracy = train.evaluate(model, loss, images, labels)
    predicted = train.predict(model, images, output="classes")
    matrix = train.confusion_matrix(predicted, labels, classes=len(dataset.class_names))
    right = int(matrix.trace())
    print(
        f"\n{bold(f'test accuracy {accuracy:.2%}')} ({right:,} of {len(labels):,} images), "
        f"loss {test_loss:.4f}, after {seconds:.1f} s"
    )
    title = f"{run.name} on {dataset.name}"
    batch = model_input(settings, dataset.train_images[: settings.batch_size])
    folder.write_config(settings)
    folder.write_history(history)
    folder.write_weights(model)
    folder.write_result(settings, dataset, model, history, test_loss, accuracy, seconds)
    folder.write_confusion(matrix, dataset.class_names, f"{title}: {accuracy:.2%} right")
    folder.write_curves(history, title, "held out" if settings.validation else "test")
    # of one batch: dropout and batch normalisation are drawn as they are in training
    model.train()
    target = dataset.train_labels[: settings.batch_size]
    graph = draw(lambda images: loss(model(images), target), (batch,), values=True)
    graph.title = title
    folder.write_graph(graph)
    print(f"\n{folder.report()}")
    return INTERRUPTED if history.interrupted else 0


# --------------------------------------------------------------------------------------------------
# Settings from options, a file, and what is found
# --------------------------------------------------------------------------------------------------


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that are given, options before those of the file."""
    said = {o.name: getattr(arguments, o.name) for o in OPTIONS}
    said = {name: value for name, value in said.items() if value is not None}
    if arguments.config is None:
        return said
    config = read_config(Path(arguments.config))
    # another optimizer or model than the file's puts aside what the file says for its own
    if said.get("optimizer") not in (None, config.get("optimizer", "adam")):
        for name in OWN_SETTINGS:
            config.pop(name, None)
    if said.get("model") not in (None, config.get("model", "mlp")):
        for name in ("hidden", "channels"):
            config.pop(name, None)
    return {**config, **said}


def _choose_data(given: dict[str, Any], arguments: argparse.Namespace) -> tuple[str, str]:
    """The name of the data set, and why it is this one."""
    if "data" in given:
        asked = "with --data" if arguments.data is not None else f"in {arguments.config}"
        return checked_name(given["data"]), f"as asked for {asked}"
    if "data_root" in given:
        return FULL, "in the folder given with --data-root"
    if data.find(FULL) is not None:
        return FULL, "the full set, because it was found on this machine"
    return SHIPPED, (
        f"shipped with tinygrad_fm, because {FULL} was not found; to get it: "
        f"tinygrad-fm data fetch {FULL}"
    )


def settings_of(given: dict[str, Any], name: str) -> Settings:
    """All settings, those that were not given by their defaults.

    Raises:
        UsageError: two of them that do not go together.
    """
    small = name == SHIPPED  # fewer images: smaller batches and fewer epochs until it overfits
    optimizer = given.get("optimizer", "adam")
    convolutional = given.get("model") == "cnn"
    for setting, owner in OWN_SETTINGS.items():
        if setting in given and optimizer != owner:
            flag = setting.replace("_", "-")
            raise UsageError(f"--{flag} is for --optimizer {owner}, not {optimizer}")
    if "channels" in given and not convolutional:
        raise UsageError("--channels is for --model cnn, not mlp")
    defaults: dict[str, Any] = {
        "data_root": None,
        "model": "mlp",
        "hidden": () if convolutional else (128, 64),
        "channels": (16, 32) if convolutional else None,
        "activation": "relu",
        "batch_norm": False,
        "dropout": 0.0,
        "optimizer": optimizer,
        "lr": RATES[optimizer],
        "momentum": 0.9 if optimizer == "sgd" else None,
        "weight_decay": 0.01 if optimizer == "adamw" else None,
        "schedule": "constant",
        "epochs": 15 if small else 20,
        "batch_size": 32 if small else 128,
        "validation": 0.0,
        "early_stopping": None,
        "seed": 0,
    }
    settings = Settings(**{**defaults, **given, "data": name})
    if settings.chooses and "validation" not in given:
        settings = Settings(**{**vars(settings), "validation": HELD_OUT})
    if settings.chooses and not settings.validation:
        raise UsageError(
            "--early-stopping and --schedule drop choose by validation images, which may not be "
            f"the test images: hold some out, as with --validation {HELD_OUT}"
        )
    if settings.data_root is not None:  # so that a run can be repeated from elsewhere
        root = str(Path(settings.data_root).expanduser().absolute())
        settings = Settings(**{**vars(settings), "data_root": root})
    return settings


def _introduction(run: Run, threads: str) -> str:
    settings, dataset = run.settings, run.dataset
    size = "x".join(map(str, dataset.train_images.shape[1:]))
    training = [
        f"{counted(settings.epochs, 'epoch')} of {counted(len(run.loader), 'batch', 'es')} of "
        f"{settings.batch_size}",
        settings.optimizer,
        f"learning rate {settings.lr:g}",
        *(
            f"{name.replace('_', ' ')} {getattr(settings, name):g}"
            for name in OWN_SETTINGS
            if getattr(settings, name) is not None
        ),
        f"seed {settings.seed}",
    ]
    if settings.schedule != "constant":
        training.insert(3, f"schedule {settings.schedule}")
    described = {
        f" with {settings.activation}": settings.hidden or settings.model == "cnn",
        ", batch normalisation": settings.batch_norm,
        f", dropout {settings.dropout:g}": settings.dropout,
    }
    validation = "on the test images, which only measure: nothing is chosen by them"
    if settings.validation:
        validation = f"on {len(run.validation[1]):,} of the training images, held out"
    lines = [
        ("data", f"{dataset.name}, {run.why}"),
        ("", f"read from {dataset.source}, {checked(dataset)}"),
        (
            "",
            f"{len(dataset.train_images):,} training and {len(dataset.test_images):,} test images "
            f"of {size}, {len(dataset.class_names)} classes",
        ),
        ("model", run.name + "".join(text for text, said in described.items() if said)),
        ("training", ", ".join(training)),
        ("validation", validation),
        ("threads", threads),
    ]
    if settings.early_stopping is not None:
        patience = counted(settings.early_stopping, "epoch")
        lines.append(("stopping", f"after {patience} without a lower validation loss"))
    return "\n".join(f"{bold(f'{key:<10}')}  {text}" for key, text in lines)
