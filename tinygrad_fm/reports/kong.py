"""Report 004: a perceptron of one hidden layer on KMNIST, or else on Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tinygrad_fm import data, functional, nn, train
from tinygrad_fm.reports.decay import DecayedSGD
from tinygrad_fm.reports.gradient_check import difference
from tinygrad_fm.reports.prepare import shuffled
from tinygrad_fm.reports.recipe import Data, Experiment, Number, Probe, Recipe, Report, mlp

BATCH = 128
KMNIST = Data(
    name="kmnist",
    otherwise="fashion-mnist",
    prepare="pixel z-score",  # of all 60,000 images before the split
    test_by_itself=True,
    hold_out=partial(shuffled, 0.2),
)

DEFAULT = Recipe(
    data=KMNIST,
    layers=mlp(784, 128, 10, activation=nn.Tanh),
    weights=nn.init.he_normal,
    reseeded=True,
    legacy=True,
    loss=nn.CrossEntropyLoss(),
    optimizer=partial(DecayedSGD, lr=0.005, momentum=0.9, form="averaged"),
    bias_rate=BATCH,  # its code divides the summed gradient of weights by 128, not that of biases
    batch_size=BATCH,
    epochs=100,
    keep="validation_loss",
    measure_train=None,
    seeds=(42, 1, 2),
    meant={"data": replace(KMNIST, test_by_itself=False), "bias_rate": 1},
)


def _changed(
    printed: str,
    *,
    lr: float = 0.05,
    patience: int | None = 5,
    decay: float = 0.0,
    decay_form: str = "squares",
    hidden: tuple[int, ...] = (128,),
    activation: Any = nn.Tanh,
    epochs: int = 100,
) -> Recipe:
    """A row of a table: training accuracy and loss, validation accuracy and loss, test accuracy.

    The first four are of the last epoch, the last is of the epoch of the best validation loss.
    The patience is that of the code, five epochs, and not of algorithm 2, six.
    """
    names = (
        "last measured train accuracy",
        "last train loss",
        "last validation accuracy",
        "last validation loss",
        "test accuracy",
    )
    stop = partial(train.EarlyStopping, patience, restore_best=False) if patience else None
    return replace(
        DEFAULT,
        layers=mlp(784, *hidden, 10, activation=activation),
        optimizer=partial(DEFAULT.optimizer, lr=lr, decay=decay, decay_form=decay_form),
        callbacks=(stop,) if stop else (),
        epochs=epochs,
        reported=tuple(Number(n, p) for n, p in zip(names, printed.split(), strict=False)),
    )


# ---- the gradient check --------------------------------------------------------------------------


def gradient_check(found: Any, seed: int) -> Mapping[str, float]:
    """Central differences with eps 1e-2 minus gradients at two entries each, for one image."""
    rng: Any = np.random.RandomState(seed)
    hidden, output = (
        nn.Linear(n, m, rng=rng, dtype=np.float64) for n, m in ((784, 128), (128, 10))
    )
    model = nn.Sequential(hidden, nn.Tanh(), output)
    standard = data.ZScore("pixel", np.float64).fit(found.train_images)
    x, t = data.flatten(standard(found.train_images[:1])), found.train_labels[:1]

    def loss() -> Any:
        return functional.cross_entropy(model(x), t)

    entries = {
        "hidden weight 1": (hidden.weight, (300, 5)),
        "hidden weight 2": (hidden.weight, (400, 50)),
        "output weight 1": (output.weight, (5, 3)),
        "output weight 2": (output.weight, (50, int(t[0]))),
        "hidden bias": (hidden.bias, (5,)),
        "output bias": (output.bias, (3,)),
    }
    return {
        f"difference at {name}": abs(difference(loss, parameter, index, 1e-2))
        for name, (parameter, index) in entries.items()
    }


CHECKED = {
    "hidden weight 1": "4.689468e-10",
    "hidden weight 2": "6.128687e-9",
    "output weight 1": "2.532141e-7",
    "output weight 2": "7.989562e-7",
    "hidden bias": "1.803573e-7",
    "output bias": "2.630992e-7",
}
OFF = partial(_changed, patience=None, epochs=110)  # as its numbers imply
LONG = partial(_changed, epochs=200)

REPORT = Report(
    "kong",
    "004",
    "One hidden layer on KMNIST",
    (
        Experiment(
            row="Q1",
            title="Gradient check",
            cases={
                "": Probe(
                    measure=gradient_check,
                    data=KMNIST,
                    seeds=(42,),
                    reported=tuple(Number(f"difference at {k}", v) for k, v in CHECKED.items()),
                )
            },
            note="The image and the entries are not known: sizes compare, digits do not.",
        ),
        Experiment(row="Q2", title="Default parameters", cases={"": DEFAULT}),
        Experiment(
            row="Q3-Q5",
            title="Learning rates with early stopping (table 3)",
            cases={
                "0.005": _changed(".965333 .143583 .927833 .253461", lr=0.005),
                "0.05": _changed(".997146 .036258 .9345 .222675 .8546"),
                "0.01": _changed(".989542 .067687 .929833 .233185", lr=0.01),
            },
        ),
        Experiment(
            row="Q6-Q9",
            title="Penalties (table 4)",
            cases={
                "L2 1e-3": OFF(".9938 .0690 .9489 .1781 .8725", decay=1e-3),
                "L2 1e-6": OFF(".9999 .0051 .9333 .2591 .8469", decay=1e-6),
                "L1 1e-3": OFF(".9302 .2515 .9091 .3094 .8154", decay=1e-3, decay_form="absolute"),
                "L1 1e-6": OFF(".9999 .0052 .9337 .2574 .8495", decay=1e-6, decay_form="absolute"),
            },
        ),
        Experiment(
            row="Q10-Q12",
            title="Activations (table 6)",
            cases={
                "sigmoid": LONG(".993438 .05249 .94058 .20047 .8587", activation=nn.Sigmoid),
                "tanh": LONG(".998396 .02781 .93225 .22849 .8516"),
                "ReLU": LONG(".997729 .01941 .94483 .20109 .8688", activation=nn.ReLU),
            },
        ),
        Experiment(
            row="Q13-Q16",
            title="Hidden units and layers (table 7)",
            cases={
                "64": _changed(".98425 .085203 .915 .296058 .826", hidden=(64,)),
                "128": _changed(".99725 .034221 .932167 .239340 .8514"),
                "256": _changed(".999542 .017683 .941833 .210170 .8626", hidden=(256,)),
                "203, 203": _changed(".998083 .025471 .938083 .228035 .8583", hidden=(203, 203)),
            },
        ),
    ),
)
