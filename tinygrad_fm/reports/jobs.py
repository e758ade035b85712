"""Jobs: which trainings an experiment consists of, how long they take, and one of them done."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm import nn, train
from tinygrad_fm.reports import results
from tinygrad_fm.reports.measures import measure
from tinygrad_fm.reports.prepare import find as find_data
from tinygrad_fm.reports.prepare import prepare
from tinygrad_fm.reports.recipe import VARIANTS, Experiment, Probe, Recipe, Report
from tinygrad_fm.reports.training import run_training
from tinygrad_fm.train.callback import Callback, TrainingState

LONG = 1200  # seconds: a training that says how far it is, and is not begun before the others


@dataclass(frozen=True)
class Job:
    """One training, or probe: a recipe's case in one variant, with one seed, on one fold.

    `epochs`, `images` (the first so many, once in each epoch) and `data` change the recipe, for a
    quick look: such a result has a folder of its own, and is not held against the report's numbers.
    """

    report: str
    row: str
    case: str
    variant: str
    seed: int
    fold: int | None = None
    epochs: int | None = None
    images: int | None = None
    data: str | None = None

    @property
    def experiment(self) -> Experiment:
        """The experiment that it is a part of."""
        from tinygrad_fm.reports import find  # which imports the reports themselves

        return find(f"{self.report}/{self.row}")[0][1]

    @property
    def recipe(self) -> Recipe | Probe:
        """What is to be done."""
        return self.experiment.cases[self.case].variant(self.variant)

    @property
    def name(self) -> str:
        """`zheng/Z2/relu, tanh`, as a person writes it."""
        parts = [self.report, self.row, *([self.case] if self.case else [])]
        return "/".join(parts)

    @property
    def changed(self) -> str:
        """What is not as in the recipe, "" for nothing."""
        changes = {"epochs": self.epochs, "images": self.images, "data": self.data}
        return ", ".join(f"{k} {v}" for k, v in changes.items() if v is not None)

    @property
    def title(self) -> str:
        """The name with variant, seed and fold."""
        parts = [self.name, *([self.variant] if self.variant != VARIANTS[0] else [])]
        parts.append(f"seed {self.seed}")
        return ", ".join(parts + ([] if self.fold is None else [f"fold {self.fold + 1}"]))

    def folder(self, home: Path) -> Path:
        """Where its files are."""
        last = [f"seed-{self.seed}", *([f"fold-{self.fold}"] if self.fold is not None else [])]
        last += [slug(self.changed)] if self.changed else []
        case = slug(self.case) or "one"
        return home / self.report / self.row / case / self.variant / "-".join(last)


def slug(text: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")


def jobs_of(
    report: Report,
    experiment: Experiment,
    *,
    case: str | None = None,
    variants: Sequence[str] = VARIANTS[:1],
    seeds: Sequence[int] | None = None,
    **changes: Any,
) -> Iterator[Job]:
    """All trainings of an experiment, the report's own seed first."""
    for variant in variants:
        for name, recipe in experiment.cases.items():
            if case not in (None, name) or (variant != VARIANTS[0] and not recipe.meant):
                continue
            for seed in seeds or recipe.seeds:
                for fold in range(recipe.folds) if recipe.folds else [None]:
                    yield Job(report.name, experiment.row, name, variant, seed, fold, **changes)


def run_job(job: Job, home: Path, progress: bool | None = False) -> dict[str, Any]:
    """Do a job, or read its result where it is done already; an interrupted one goes on.

    Raises:
        KeyboardInterrupt: it was interrupted; done again, it goes on after its last whole epoch.
        DatasetNotFoundError: the data is not on this machine.
    """
    folder = job.folder(home)
    path = folder / "result.json"
    if path.exists():
        return results.read_result(path)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = job.recipe
    result: dict[str, Any] = {
        "name": job.name,
        "variant": job.variant,
        "seed": job.seed,
        "fold": job.fold,
        "changed": job.changed,
    }
    if isinstance(recipe, Probe):
        found, name = find_data(recipe.data, job.data) if recipe.data else (None, "")
        start = time.perf_counter()
        result |= {"measures": dict(recipe.measure(found, job.seed)), "data": name}
        result |= {"history": [], "losses": [], "diverged": ""}
        result["seconds"] = time.perf_counter() - start
    else:
        result |= _trained(job, recipe, folder, progress)
    results.write_result(path, result)
    (folder / "last.safetensors").unlink(missing_ok=True)  # there is nothing left to resume
    return results.read_result(path)


class Announce(Callback):
    """A line after each epoch of a long training among others, with what is left of it."""

    def __init__(self, title: str):
        self.title = title

    def on_epoch_end(self, state: TrainingState) -> None:
        """Print it."""
        left = (state.epochs - state.epoch) * state.record["seconds"] / 60
        print(
            f"  {self.title}: epoch {state.epoch} of {state.epochs}, validation accuracy "
            f"{state.record['validation_accuracy']:.2%}, about {left:.0f} min left",
            flush=True,
        )


def _trained(job: Job, recipe: Recipe, folder: Path, progress: bool | None) -> dict[str, Any]:
    if job.images is not None and recipe.steps is not None:
        recipe = replace(recipe, steps=max(1, job.images // recipe.batch_size))
    prepared = prepare(recipe, job.seed, which_fold=job.fold, images=job.images, name=job.data)
    told = [Announce(job.title)] if progress is False and estimate(recipe) > LONG else []
    outcome = run_training(
        recipe,
        prepared,
        job.seed,
        folder=folder,
        epochs=job.epochs,
        progress=progress,
        callbacks=told,
    )
    train.save_weights(outcome.model, folder / "final.safetensors")
    records = outcome.history.to_json()
    for record in records:
        record.pop("batch_losses", None)
    return {
        "data": prepared.name,
        "measures": measure(outcome, prepared, recipe.views),
        "history": records,
        "losses": [round(loss, 7) for loss in outcome.history.batch_losses],
        "diverged": outcome.diverged,
        "seconds": sum(record["seconds"] for record in records) or outcome.seconds,
    }


# ---- how long it will take -----------------------------------------------------------------------

# Seconds on one core of a server of today: for each floating-point operation of float32 matrix
# products, for each parameter and step (the update), and for each step (Python, and the batch).
PER_OPERATION, PER_PARAMETER, PER_STEP = 1.2e-11, 1.5e-9, 3e-4


def estimate(recipe: Recipe | Probe) -> float:
    """About how many seconds one training takes, on one core; good to a factor of two or so."""
    if isinstance(recipe, Probe):
        return recipe.seconds
    per_image, parameters = _operations(recipe)
    count = 60_000 if recipe.data.first is None else recipe.data.first
    steps = recipe.steps or math.ceil(0.8 * count / recipe.batch_size)
    size = np.dtype(recipe.dtype).itemsize / 4
    learning = steps * (
        3 * per_image * recipe.batch_size * PER_OPERATION * size
        + parameters * PER_PARAMETER * size
        + PER_STEP
        # a legacy choice without replacement permutes all rows
        + (count * 1.6e-8 if recipe.legacy else 0)
    )
    measured = 10_000 + (count if recipe.measure_train is None else recipe.measure_train)
    return recipe.epochs * (learning + measured * per_image * PER_OPERATION * size)


def _operations(recipe: Recipe) -> tuple[float, int]:
    """Floating-point operations of a forward pass of one image, and parameters."""
    operations, parameters, side = 0.0, 0, 28
    for make in recipe.layers:
        kind: Any = getattr(make, "func", make)
        given: Any = getattr(make, "args", ())
        if kind is nn.Linear:
            weights, places = given[0] * given[1], 1
        elif kind is nn.Conv2d:
            weights, places = given[0] * given[1] * given[2] ** 2, side * side
        else:
            side //= given[0] if kind in (nn.MaxPool2d, nn.AvgPool2d) else 1
            continue
        operations += 2.0 * weights * places
        parameters += weights + given[1]
    return operations, parameters
