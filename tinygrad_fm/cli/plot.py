"""`tinygrad-fm plot`: pictures of one run, or of several in one picture."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_fm import plots, train
from tinygrad_fm.cli.build import ACTIVATIONS, build_model, model_input
from tinygrad_fm.cli.run_folder import window_of
from tinygrad_fm.cli.saved import SavedRun
from tinygrad_fm.cli.text import CommandError, bold, table

EXAMPLES = 100  # images whose hidden activations are shown


def run(arguments: argparse.Namespace) -> int:
    """Draw and write; returns the exit code."""
    if not plots.available():
        raise CommandError(plots.MISSING)
    runs = [SavedRun.load(folder) for folder in arguments.folders]
    if len(runs) == 1:
        (saved,) = runs
        folder = saved.path if arguments.out is None else Path(arguments.out)
        pictures = _of_one(saved)
    else:
        folder = Path(arguments.out or ".")
        pictures = {"overlay": ("learning curves of all runs", lambda: _overlay(runs))}
    written, left_out = [], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (what, draw) in pictures.items():
            try:
                figure = draw()
            except plots.PlotError as error:
                left_out.append(f"no {name}.{arguments.format}: {error}")
                continue
            path = plots.save(figure, folder / f"{name}.{arguments.format}")
            written.append((path.name, what))
    except OSError as error:
        raise CommandError(f"cannot write pictures to {folder}: {error}") from error
    print(bold(f"written to {folder}"))
    print("\n".join([table(written, "  "), *left_out]) if written else "\n".join(left_out))
    return 0


def _of_one(saved: SavedRun) -> dict[str, tuple[str, Callable[[], Any]]]:
    """By name of the file: what it shows, and how to draw it."""
    model, name = saved.model()
    dataset = saved.test_data()
    x = model_input(saved.settings, dataset.test_images)
    predicted = train.predict(model, x, output="classes")
    title = f"{name} on {dataset.name}"
    history = saved.history()
    matrix = train.confusion_matrix(predicted, dataset.test_labels, len(dataset.class_names))
    shape = saved.image_shape
    size = (shape[0], shape[1])
    first = model[0].weight
    fresh, _ = build_model(saved.settings, shape, len(saved.class_names))

    def hidden() -> Any:
        found = train.activations(model, x[:EXAMPLES])
        kinds = {type(layer).__name__ for layer in model}
        shown = {k: v for k, v in found.items() if _is_hidden(k, kinds)}
        return plots.activations(
            {"images": dataset.test_images[:EXAMPLES], **shown}, title=f"{title}: activations"
        )

    pictures: dict[str, tuple[str, Callable[[], Any]]] = {
        "curves": (
            "learning curves",
            lambda: plots.learning_curves(
                history,
                title=title,
                validation="held out" if saved.settings.validation else "test",
                window=window_of(history),
            ),
        ),
        "confusion": (
            "the confusion matrix",
            lambda: plots.confusion_matrix(
                matrix,
                dataset.class_names,
                title=f"{title}: {matrix.trace() / matrix.sum():.2%} right",
            ),
        ),
        "mistakes": (
            "test images that were taken for something else",
            lambda: plots.mistakes(
                dataset.test_images, predicted, dataset.test_labels, dataset.class_names
            ),
        ),
        "weights": (
            "weights of the first layer",
            lambda: plots.weights_tiles(first, size if first.ndim == 2 else None),
        ),
        "biases": (
            "biases of all layers",
            lambda: plots.biases(
                {
                    f"{i} ({type(layer).__name__})": layer.bias
                    for i, layer in enumerate(model)
                    if getattr(layer, "bias", None) is not None
                },
                title=f"{title}: biases",
            ),
        ),
        "activations": (f"what the layers make of {EXAMPLES} test images", hidden),
    }
    if first.ndim == 2 and first.shape[1] >= 3:
        stages = {"at the start": fresh[0].weight, "at the end": first}
        pictures["weights-rgb"] = (
            "the same by principal components, at the start and at the end",
            lambda: plots.weights_rgb(stages, size),
        )
    return pictures


def _is_hidden(name: str, kinds: set[str]) -> bool:
    """Whether a layer's result is to be shown: of an activation or, if there is any, a pooling."""
    shown = {"MaxPool2d"} & kinds or {activation.__name__ for activation in ACTIVATIONS.values()}
    return name.split("(")[-1].rstrip(")") in shown


def _overlay(runs: list[SavedRun]) -> Any:
    histories = {str(saved.path): saved.history() for saved in runs}
    return plots.overlay(
        histories, columns=("train_loss", "validation_loss", "validation_accuracy")
    )
