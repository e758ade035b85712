"""The pictures of the reports, from what was run: each with a sentence on what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm import nn, plots, train
from tinygrad_fm.reports.compare import Compared, Line
from tinygrad_fm.reports.jobs import Job
from tinygrad_fm.reports.prepare import Prepared, prepare
from tinygrad_fm.reports.recipe import VARIANTS, Experiment, Recipe
from tinygrad_fm.reports.training import build_model

Figure = Any
Results = dict[tuple[str, str], list[dict[str, Any]]]  # of an experiment, by case and variant
Drawn = tuple[str, Figure]

MANY = 10  # cases: more lines than that cannot be told apart
MISTAKES, GRID = 12, 100  # images in report 001's figures 5 and 6, and in report 000's


def figures(compared: Compared, home: Path) -> Iterator[Drawn]:
    """All pictures of an experiment of which something was run, as (caption, figure)."""
    report, experiment = compared.report, compared.experiment
    results, lines = compared.results, compared.lines
    yield from _numbers(lines)
    recipes = [r for r in experiment.cases.values() if isinstance(r, Recipe)]
    if not recipes:
        return
    if recipes[0].folds:
        yield from _search(experiment, results)
        return
    first = {case: runs[0] for (case, variant), runs in results.items() if variant == VARIANTS[0]}
    if len(experiment.cases) <= MANY:
        yield from _curves(experiment, recipes[0], first)
    if len(experiment.cases) == 1 and first:
        ((case, run),) = first.items()
        if run["diverged"]:
            return
        job = Job(report.name, experiment.row, case, VARIANTS[0], run["seed"])
        yield from _portrait(job, recipes[0], home)


def _numbers(lines: Sequence[Line]) -> Iterator[Drawn]:
    """The last number of each case, reported and measured."""
    measures = [line.number.measure for line in lines if len(line.number.values) == 1]
    if not measures:
        return
    label = max(measures, key=lambda name: ("accuracy" in name, measures.count(name)))
    rows = {(line.name, line.variant): line for line in lines if line.number.measure == label}
    names = list(dict.fromkeys(name for name, _ in rows))
    if len(names) < 3:
        return
    measured = {}
    for variant in VARIANTS:
        found = [rows.get((name, variant)) for name in names]
        if any(found):
            means = [line.means[0] if line else np.nan for line in found]
            spreads = [(line.spreads or [0.0])[0] if line else np.nan for line in found]
            measured[variant.replace("-", " ")] = means, spreads
    reported = [
        next((rows[n, v].number.values[0] for v in VARIANTS if (n, v) in rows), None) for n in names
    ]
    yield (
        f"Reported and measured, {label}; bars are standard deviations over the seeds.",
        plots.numbers([name.split("/", 2)[-1] for name in names], reported, measured, label=label),
    )


def _search(experiment: Experiment, results: Results) -> Iterator[Drawn]:
    """Report 000's search: each point a penalty and a rate, coloured by its score."""
    points: dict[str, list[float]] = {"penalty": [], "learning rate": []}
    scores = []
    for (case, variant), runs in results.items():
        recipe = experiment.cases[case]
        if variant == VARIANTS[0] and isinstance(recipe, Recipe):
            points["penalty"].append(getattr(recipe.penalty, "strength", np.nan))
            points["learning rate"].append(recipe.optimizer.keywords["lr"])
            best = [max(r["validation_accuracy"] for r in run["history"]) for run in runs]
            scores.append(float(np.mean(best)))
    if experiment.row == "Z4" and scores:
        yield (
            "Random search: each point is a penalty and a rate, its colour the mean accuracy of "
            "the folds.",
            plots.search_scatter(points, scores, label="cross-validated accuracy"),
        )


def _curves(experiment: Experiment, recipe: Recipe, first: dict[str, Any]) -> Iterator[Drawn]:
    """Loss and accuracy over the epochs, and the loss over the iterations."""
    histories = {case: run["history"] for case, run in first.items() if run["history"]}
    columns = {case or "it": _columns(records) for case, records in histories.items()}
    if len(columns) == 1:
        (only,) = columns.values()
        validation = "test" if recipe.data.hold_out is None else "validation"
        yield (
            "Loss and accuracy after each epoch.",
            plots.learning_curves(only, validation=validation),
        )
    elif columns:
        yield (
            "Loss and accuracy after each epoch, first seed.",
            plots.overlay(columns, columns=experiment.curves),
        )
    losses = {case or "loss": run["losses"] for case, run in first.items() if run["losses"]}
    if losses and recipe.batch_size > 1:
        yield (
            "The loss of the batches, averaged over a hundred.",
            plots.loss_curves(losses, log=len(losses) == 1),
        )


def _columns(records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


# ---- one network ---------------------------------------------------------------------------------


def _portrait(job: Job, recipe: Recipe, home: Path) -> Iterator[Drawn]:
    """What a trained network answers, and what its weights look like."""
    folder = job.folder(home)
    prepared = prepare(recipe, job.seed)
    model = build_model(recipe, job.seed, np.random.RandomState(0))

    def weights(name: str) -> Any:
        train.load_weights(model, folder / f"{name}.safetensors")
        return model[_first_with_weights(model)].weight.data.copy()

    stages = {
        title: weights(name)
        for name, title in (
            ("start", "at the start"),
            ("epoch-1", "after one epoch"),
            ("final", "at the end"),
        )
        if (folder / f"{name}.safetensors").exists()
    }
    if "at the end" not in stages:
        return
    yield from _answers(model, prepared)
    yield from _weights(model, stages)
    images = next(iter(prepared.batches(prepared.test, GRID)))[0]
    hidden = {
        name: values
        for name, values in train.activations(model, images).items()
        if any(kind in name for kind in ("ReLU", "Tanh", "Sigmoid", "sigmoid")) and values.ndim == 2
    }
    if hidden:
        shown = np.asarray(prepared.test[0][:GRID]).reshape(-1, 28, 28)
        yield (
            f"{GRID} test images, and what the hidden layers make of them.",
            plots.activations({"images": shown, **hidden}),
        )


def _answers(model: nn.Sequential, prepared: Prepared) -> Iterator[Drawn]:
    for part, what in (("test", "test"), ("train", "training")):
        images, labels = getattr(prepared, part)
        count = len(images) if part == "test" else min(len(images), 2000)
        said = np.concatenate(
            [
                train.predict(model, x, output="classes")
                for x, _ in prepared.batches((images, labels), count)
            ]
        )
        true = labels[:count].argmax(axis=1) if labels.ndim == 2 else labels[:count]
        names = prepared.class_names
        if part == "test":
            report = train.classification_report(said, true, names)
            yield "Test images.", plots.confusion_matrix(report.matrix, names)
            yield "Precision, recall and F1 of the classes.", plots.class_scores(report)
        if (said != true).any():
            pictures = np.asarray(images[:count]).reshape(-1, 28, 28)
            yield (
                f"The first {what} images that it gets wrong.",
                plots.mistakes(pictures, said, true, names, limit=MISTAKES, columns=6),
            )


def _weights(model: nn.Sequential, stages: dict[str, Any]) -> Iterator[Drawn]:
    final = stages["at the end"]
    # weights that stay small, as those for bytes from 0 to 255, are all of one grey
    if final.shape[0] == 784 and np.ptp(plots.pca_rgb(final)) > 0.2:
        yield (
            "First-layer weights by principal components, as red, green and blue.",
            plots.weights_rgb(stages),
        )
    yield "Weights of the first layer.", plots.weights_tiles(final, limit=32)
    linear = {
        f"layer {i + 1}": layer
        for i, layer in enumerate(m for m in model if isinstance(m, nn.Linear))
    }
    small = {k: layer.weight for k, layer in linear.items() if layer.weight.size < 2**21}
    if small:
        yield "Weights of all layers.", plots.weights_maps(small)
    biased: dict[str, Callable[[], Any] | Any] = {
        k: layer.bias for k, layer in linear.items() if layer.bias is not None
    }
    yield "Biases.", plots.biases(biased)


def _first_with_weights(model: nn.Sequential) -> int:
    return next(i for i, layer in enumerate(model) if isinstance(layer, (nn.Linear, nn.Conv2d)))
