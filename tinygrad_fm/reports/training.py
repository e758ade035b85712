"""From a recipe to a trained network: the one place where the recipes' trainings are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm import data, nn, train
from tinygrad_fm.reports.prepare import Prepared
from tinygrad_fm.reports.recipe import Recipe
from tinygrad_fm.train import History, NonFiniteError
from tinygrad_fm.train.callback import Callback, TrainingState

LOSSES_KEPT = 4000  # of an epoch; of more batches than that, means of equal parts are kept


class PenalisedLoss(nn.Module):
    """The loss of a prediction plus a penalty on the model's weights, as one number."""

    def __init__(self, loss: Callable[..., Any], penalty: Any, model: Any):
        self._parts = loss, penalty, model  # private: the model's parameters are not the loss's

    def forward(self, prediction: Any, labels: Any) -> Any:
        """A number."""
        loss, penalty, model = self._parts
        return loss(prediction, labels) + penalty(model)


class Measure(Callback):
    """Accuracy on so many training images after each epoch, and after the very first update.

    Adds the column `measured_accuracy`. The first update's accuracies are in `first`: those of
    training and validation images.
    """

    def __init__(self, recipe: Recipe, prepared: Prepared, criterion: Any):
        self.parts = (
            prepared.batches(prepared.train, recipe.measure_train),
            prepared.batches(prepared.validation),
        )
        self.criterion = criterion
        self.first: list[float] = []

    def _accuracy(self, state: TrainingState, part: Any) -> float:
        return float(train.evaluate(state.model, self.criterion, part)[1] or 0)

    def on_batch_end(self, state: TrainingState) -> None:
        """Measure after the first update of all."""
        if state.step == 1:
            self.first = [self._accuracy(state, part) for part in self.parts]

    def on_epoch_end(self, state: TrainingState) -> None:
        """Add the column."""
        state.record["measured_accuracy"] = self._accuracy(state, self.parts[0])

    def state_dict(self) -> dict[str, Any]:
        """What the first update gave."""
        return {"first": self.first}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Take it over."""
        self.first = list(values["first"])


class Snapshots(Callback):
    """Keep the weights before the first update and after the first epoch, for pictures."""

    def __init__(self, folder: Path):
        self.folder = folder

    def on_train_begin(self, state: TrainingState) -> None:
        """The start."""
        if not len(state.history):
            train.save_weights(state.model, self.folder / "start.safetensors")

    def on_epoch_end(self, state: TrainingState) -> None:
        """The first epoch; and of very long epochs not every batch's loss is kept."""
        if state.epoch == 1:
            train.save_weights(state.model, self.folder / "epoch-1.safetensors")
        state.history.shorten_last(LOSSES_KEPT)


class MultiplyLR(Callback):
    """Multiply the learning rate by a factor after each epoch, as a loop would: `lr *= factor`.

    (`optim.schedule.exponential` computes lr * factor**epoch, whose last bit may differ.)
    """

    def __init__(self, factor: float):
        self.factor = factor

    def on_epoch_end(self, state: TrainingState) -> None:
        """Of all groups."""
        for group in state.optimizer.groups:
            group.lr *= self.factor


@dataclass
class Outcome:
    """A finished training.

    Attributes:
        model: with the weights that the recipe keeps.
        first: accuracies after the first update, on training and validation images; may be empty.
        diverged: what made the loss NaN or infinite; "" where nothing did.
        seconds: that the last part of it took, if it was interrupted.
    """

    model: nn.Sequential
    criterion: Any
    history: History
    first: list[float]
    diverged: str
    seconds: float


def run_training(
    recipe: Recipe,
    prepared: Prepared,
    seed: int,
    *,
    folder: Path,
    epochs: int | None = None,
    progress: bool | None = False,
    callbacks: Sequence[Any] = (),
) -> Outcome:
    """Train as the recipe says; an interrupted training goes on where its checkpoint is.

    Args:
        folder: for the checkpoint and the snapshots of weights; it exists.
        epochs: instead of the recipe's.
        progress: as for `train.fit`.
        callbacks: further ones.

    Raises:
        KeyboardInterrupt: it was interrupted; called again, it goes on after the last whole epoch.
    """
    rng = generator(recipe, prepared, seed)
    model = build_model(recipe, seed, rng)
    criterion = build_loss(recipe, model)
    optimizer = build_optimizer(recipe, model)
    measure = Measure(recipe, prepared, criterion) if recipe.measure_train != 0 else None
    epochs = epochs or recipe.epochs
    keeper = None
    if recipe.keep is not None:  # runs on, and goes back to the best epoch in the end
        keeper = train.EarlyStopping(epochs, recipe.keep)
    checkpoint = train.Checkpoint(folder)
    last = folder / "last.safetensors"
    start, history, diverged = time.perf_counter(), History(), ""
    try:
        history = train.fit(
            model,
            criterion,
            optimizer,
            build_loader(recipe, prepared, seed, rng),
            epochs=epochs,
            validation=prepared.batches(prepared.validation),
            callbacks=[
                *([measure] if measure else []),
                *(make() for make in recipe.callbacks),
                *([keeper] if keeper else []),
                *callbacks,
                Snapshots(folder),
                checkpoint,
            ],
            progress=progress,
            resume_from=last if last.exists() else None,
        )
    except NonFiniteError as error:
        history, diverged = error.history or History(), str(error).partition("\n")[0]
        if keeper is not None and keeper.best is not None:  # what was best before is kept
            state = keeper.state_dict().items()
            weights = {k.removeprefix("weights."): v for k, v in state if k.startswith("weights.")}
            model.load_state_dict(weights)
    if history.interrupted:
        raise KeyboardInterrupt
    first = measure.first if measure else []
    seconds = time.perf_counter() - start
    return Outcome(model, criterion, history, first, diverged, seconds)


def generator(recipe: Recipe, prepared: Prepared, seed: int) -> Any:
    """What initial values and random batches are drawn from; the report's own where it stood."""
    if not recipe.legacy:
        return np.random.default_rng(seed)
    rng = np.random.RandomState(seed)
    everything = np.arange(len(prepared.train[0]))
    for _ in range(recipe.drawn_before if seed == recipe.seeds[0] else 0):
        build_model(recipe, seed, rng)
        for _ in range((recipe.steps or 0) * recipe.epochs):
            rng.choice(everything, min(recipe.batch_size, len(everything)), replace=False)
    return rng


def build_model(recipe: Recipe, seed: int, rng: Any) -> nn.Sequential:
    """The layers with their initial values, drawn in order: weight, then bias, layer by layer."""
    layers: list[Any] = []
    for make in recipe.layers:
        kind = getattr(make, "func", make)
        if kind not in (nn.Linear, nn.Conv2d):
            layers.append(_with_options(kind, make, recipe, seed, len(layers)))
            continue
        source = np.random.RandomState(seed) if recipe.reseeded else rng
        layer = make(rng=source, weight_init=recipe.weights, dtype=recipe.dtype)
        layer.bias.data = recipe.biases(layer.bias.shape, source, dtype=recipe.dtype)
        layers.append(layer)
    return nn.Sequential(*layers)


def _with_options(kind: Any, make: Any, recipe: Recipe, seed: int, place: int) -> Any:
    if kind is nn.Dropout:  # a generator of its own, so that two of them do not drop alike
        return make(rng=np.random.default_rng((seed, place)))
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        return make(dtype=recipe.dtype)
    # a class of layers is called to make one; a plain function is a layer as it stands
    return make() if isinstance(kind, type) else make


def build_loss(recipe: Recipe, model: nn.Sequential) -> Any:
    """The loss, with the penalty on those layers that it is meant for."""
    if recipe.penalty is None:
        return recipe.loss
    return PenalisedLoss(recipe.loss, recipe.penalty, model[recipe.penalised :])


def build_optimizer(recipe: Recipe, model: nn.Sequential) -> Any:
    """The optimizer; biases, the parameters with one axis, are a group of their own if need be."""
    settings = recipe.optimizer.keywords
    own = {}
    if recipe.bias_rate != 1:
        own["lr"] = settings["lr"] * recipe.bias_rate
    if settings.get("decay") and not recipe.decay_biases:
        own["decay"] = 0.0
    parameters = model.parameters()
    if not own:
        return recipe.optimizer(parameters)
    weights, biases = ([p for p in parameters if (p.ndim == 1) == is_bias] for is_bias in (0, 1))
    return recipe.optimizer([{"parameters": weights}, {"parameters": biases, **own}])


def build_loader(recipe: Recipe, prepared: Prepared, seed: int, rng: Any) -> Any:
    """Batches of the training images: permutations of all, or drawn anew at every step."""
    images, labels = prepared.train
    size = min(recipe.batch_size, len(images))
    if recipe.steps is not None:
        source = recipe.draws_too(rng, len(images)) if recipe.draws_too else rng
        return data.RandomBatches(
            images, labels, batch_size=size, steps=recipe.steps, rng=source, **prepared.options
        )
    return data.Loader(
        images,
        labels,
        batch_size=size,
        seed=seed,
        drop_last=recipe.drop_last,
        transform=recipe.transform,
        **prepared.options,
    )
