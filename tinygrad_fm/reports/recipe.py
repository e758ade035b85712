"""What a recipe is: an experiment of a report as data, in the library's own names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from tinygrad_fm import nn

VARIANTS = ("as-printed", "as-meant")


@dataclass(frozen=True)
class Number:
    """A number, or several, that a report gives, held beside what is measured here.

    Args:
        measure: what was measured, a name that `measures.look_up` knows: "test accuracy".
        printed: as printed, with all its digits: "89.64 %", ".8964", or several with spaces.
        source: "report"; "final" for the finished version of the report and "code" for the output
            of its own program, where those are known; "re-run" for an independent repetition of
            the report's code in NumPy.
    """

    measure: str
    printed: str
    source: str = "report"

    @property
    def values(self) -> list[float]:
        """The numbers; percents as shares, 0 to 1."""
        return [float(word.rstrip("%")) / self._divisor for word in self._words]

    @property
    def decimals(self) -> list[int]:
        """How many decimals each of `values` was printed with."""
        found = []
        for word in self._words:
            mantissa, _, exponent = word.rstrip("%").partition("e")
            found.append(len(mantissa.partition(".")[2]) - int(exponent or 0))
        return [n + 2 for n in found] if self._divisor == 100 else found

    def same(self, measured: Sequence[float]) -> list[bool]:
        """Which of the measured numbers, rounded as these are, have the same digits."""
        return [
            round(mine, digits) == round(theirs, digits)
            for mine, theirs, digits in zip(measured, self.values, self.decimals, strict=True)
        ]

    def show(self, value: float, at: int = 0, sign: str = "") -> str:
        """A measured number in the form of the printed one of that place.

        Of a share there are at least four decimals.
        """
        if math.isnan(value):
            return "NaN"
        digits = self.decimals[at]
        if "e" in self.printed:
            return f"{value:{sign}.2e}"
        return f"{value:{sign}.{max(digits, 4)}f}" if digits else f"{value:{sign}g}"

    @property
    def _words(self) -> list[str]:
        return self.printed.replace(" %", "%").split()

    @property
    def _divisor(self) -> int:
        return 100 if self.printed.endswith("%") else 1


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which images, what is done to them, and which are held out.

    Args:
        name: as `data.load` takes it.
        otherwise: another set, where the first is not on this machine.
        prepare: a key of `prepare.PREPARATIONS`, such as "scaled".
        test_by_itself: whether the test images are standardised by their own mean and deviation
            (a flaw of report 004, and of the template of report 002) instead of the training ones.
        hold_out: `(count, seed) -> (training rows, validation rows)`; None for the reports that
            take the test images as the validation set.
        first: train on so many of the first images alone (report 000, Z1).
        train_on_all: train on the held-out images too (a flaw where these are then measured, as in
            report 001's tables).
    """

    name: str = "fashion-mnist"
    otherwise: str | None = None
    prepare: str = "scaled"
    test_by_itself: bool = False
    hold_out: Callable[[int, int], tuple[Any, Any]] | None = None
    first: int | None = None
    train_on_all: bool = False


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training: read it side by side with the report.

    Args:
        data: images, preparation, split.
        layers: functions that make the layers, such as `partial(nn.Linear, 784, 128)`; see `mlp`.
        weights, biases: how initial values are drawn, from `nn.init`.
        reseeded: every layer draws from a generator that is seeded anew (reports 002 and 004).
        legacy: draw initial values, and batches where there are `steps`, from NumPy's legacy
            generator, in the order of the report's code.
        drawn_before: how many such trainings drew from the generator before this one (report 000
            seeds once and then trains in a loop).
        draws_too: `(generator, training images) -> what draws the batches` (report 000, Z7).
        dtype: of parameters and images.
        loss: called with prediction and labels; `one_hot` says in which form these are.
        penalty: is called with the layers from number `penalised` on, and added to the loss.
        optimizer: makes it, such as `partial(optim.SGD, lr=0.1)`.
        bias_rate: the learning rate of biases as a multiple of that of the weights; 0 where they
            are never updated (report 001), 128 where their sum is not averaged (report 004).
        decay_biases: a decay of the optimizer is for biases too (report 001), not weights alone.
        batch_size, epochs: an epoch is a pass over the data, or `steps` batches, each drawn anew.
        transform: changes the images of a batch while training, such as `data.RandomFlip()`.
        views: functions of images, such as a mirror; what the finished network says of an image is
            the mean of the probabilities that it gives for the image and for these.
        drop_last: leave out a last batch that is smaller.
        callbacks: make what changes the learning rate or stops the training.
        keep: the column of the history whose best epoch is tested; None for the last epoch.
        measure_train: after each epoch, measure so many of the training images (None for all); 0
            keeps to what is measured while learning.
        seeds: the report's own first, if it is known; the spread over all of them is run to run.
        folds: train once for each fold of a cross-validation, and take the mean.
        reported: numbers of the report, for the table.
        meant: the fields that are different in the form that the report means, or that is correct.
    """

    data: Data
    layers: tuple[Callable[..., Any], ...]
    weights: Callable[..., Any]
    biases: Callable[..., Any] = nn.init.zeros
    reseeded: bool = False
    legacy: bool = False
    drawn_before: int = 0
    draws_too: Callable[[Any, int], Any] | None = None
    dtype: Any = np.float32
    loss: Callable[..., Any] = field(default_factory=nn.CrossEntropyLoss)
    one_hot: bool = False
    penalty: Callable[[Any], Any] | None = None
    penalised: int = 0
    optimizer: partial[Any]
    bias_rate: float = 1.0
    decay_biases: bool = False
    batch_size: int
    epochs: int
    steps: int | None = None
    transform: Any = None
    views: tuple[Callable[[Any], Any], ...] = ()
    drop_last: bool = False
    callbacks: tuple[Callable[[], Any], ...] = ()
    keep: str | None = None
    measure_train: int | None = 0
    seeds: tuple[int, ...] = (0, 1, 2)
    folds: int = 0
    reported: tuple[Number, ...] = ()
    meant: Mapping[str, Any] = field(default_factory=dict)

    def variant(self, name: str) -> Recipe:
        """The recipe "as-printed", which is itself, or "as-meant".

        Raises:
            ValueError: another name, or nothing is meant otherwise than printed.
        """
        if name not in VARIANTS:
            raise ValueError(f"a variant is one of {', '.join(VARIANTS)}, not {name!r}")
        if name == "as-printed":
            return self
        if not self.meant:
            raise ValueError("this recipe is as it is meant; it has no variant as-meant")
        return replace(self, **self.meant, meant={})


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A measurement that is no training, such as a gradient check.

    Args:
        measure: `(data set or None) -> {measure: number or numbers}`.
        data: the set that it looks at, if any.
        reported, seeds: as for Recipe.
    """

    measure: Callable[[Any, int], Mapping[str, Any]]
    data: Data | None = None
    seeds: tuple[int, ...] = (0,)
    reported: tuple[Number, ...] = ()
    seconds: float = 1.0
    meant: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 0

    def variant(self, name: str) -> Probe:
        """Itself; a probe has one form."""
        if name != "as-printed":
            raise ValueError("a probe has no variant as-meant")
        return self


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A row of the list: trainings that belong together, by name.

    Args:
        row: its identifier, such as "Z1".
        title: what the report calls it.
        cases: recipes by the name of what is different among them; "" where there is one.
        note: what to know, such as what the report says of it and which erratum applies.
        curves: columns of the history to draw over each other, for the page.
    """

    row: str
    title: str
    cases: Mapping[str, Recipe | Probe]
    note: str = ""
    curves: tuple[str, ...] = ("train_loss", "validation_accuracy")


@dataclass(frozen=True)
class Report:
    """A report: its name here, its number, what it is about, and its experiments."""

    name: str
    number: str
    title: str
    experiments: tuple[Experiment, ...]


def mlp(
    *sizes: int, activation: Any, output: Any = None, dropout: float = 0.0
) -> tuple[Callable[..., Any], ...]:
    """Linear layers of these sizes, with an activation between them, and one at the end if given.

    `activation` may be a tuple with one for each hidden layer. Dropout follows each of them.
    """
    between = activation if isinstance(activation, tuple) else (activation,) * (len(sizes) - 2)
    layers: list[Callable[..., Any]] = []
    for (inputs, outputs), then in zip(itertools.pairwise(sizes), (*between, output), strict=True):
        layers += [partial(nn.Linear, inputs, outputs), *([then] if then else [])]
        if dropout and outputs != sizes[-1]:
            layers.append(partial(nn.Dropout, dropout))
    return tuple(layers)
