"""Report 001: dense networks with sigmoid outputs on Fashion-MNIST.

Its text and its program differ: the program takes the slope of a sigmoid at its output,
never updates biases, decays weights by a share of themselves whatever the learning rate,
sums the gradient over the batch where the loss is a mean, and in its tables trains on the
validation images too. All of that is here, by name; as meant, none of it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import tinygrad_fm as tg
from tinygrad_fm import functional, nn, optim, train
from tinygrad_fm.reports.best import FEWER_PIXELS, best, beyond
from tinygrad_fm.reports.decay import DecayedSGD
from tinygrad_fm.reports.prepare import shuffled
from tinygrad_fm.reports.recipe import Data, Experiment, Number, Recipe, Report, mlp

# ---- peculiarities of its code -------------------------------------------------------------------

BATCH = 40
# The code's gradient is the sum over the batch. As the mean is taken here, a rate is 40 times that
# of the report.
SUMMED = BATCH


def _slope(x: Any) -> Any:
    return functional.sigmoid(x) * (1 - functional.sigmoid(x))


# the derivative is taken at the stored output y instead of the input
coded_sigmoid = tg.custom_vjp(functional.sigmoid, backward=lambda g, y, _a: g * _slope(y))


def _coded_bce(p: Any, t: Any) -> Any:
    losses = t * np.log(p) + (1 - t) * np.log(1 + 2e-7 - p)
    return -np.sum(losses, dtype=p.dtype) / len(p)


# the gradient has another small number than the loss
coded_bce = tg.custom_vjp(
    _coded_bce,
    backward=lambda g, _loss, p, t: (g / len(p) * (p - t) / (p * (1 + 1e-5 - p)), None),
)


def bce(logits: Any, targets: Any) -> Any:
    """Binary cross-entropy as meant: summed over the outputs, mean over the images, of logits."""
    return functional.binary_cross_entropy_with_logits(logits, targets, "sum") / len(targets)


# ---- the experiments -----------------------------------------------------------------------------

SIZES_OF_FIGURE_1 = 784, 256, 64, 10  # of figure 1 and section 5; the text says 784-256-128-10


def _net(*sizes: int, hidden: Any = nn.ReLU, output: Any = coded_sigmoid) -> Any:
    return mlp(*sizes, activation=hidden, output=output)


FINAL = Recipe(
    data=Data(prepare="scaled", hold_out=partial(shuffled, 1 / 6, always=2024)),
    layers=_net(*SIZES_OF_FIGURE_1),
    weights=partial(nn.init.normal, std=0.1),
    biases=partial(nn.init.normal, std=0.1),
    legacy=True,
    one_hot=True,
    loss=nn.MSELoss("half_per_example"),
    optimizer=partial(optim.SGD, lr=SUMMED * 3e-2),
    bias_rate=0,
    batch_size=BATCH,
    drop_last=True,
    epochs=10,
    callbacks=(partial(train.ReduceOnDrop, 0.5),),
    keep="validation_loss",
    seeds=(2024, 1, 2),
    reported=(
        Number(
            "validation accuracy by epoch",
            ".8219 .8522 .8558 .8593 .8727 .8720 .8796 .8847 .8818 .8879",
        ),
        Number("train accuracy", "92.09 %", "re-run"),
        Number("validation accuracy", "88.79 %"),
        Number("test accuracy", "88.33 %"),
    ),
    # with biases that learn, this rate is unstable: a third of it
    meant={
        "layers": _net(*SIZES_OF_FIGURE_1, output=nn.Sigmoid),
        "bias_rate": 1,
        "optimizer": partial(optim.SGD, lr=SUMMED * 1e-2),
    },
)
WIDE = 784, 256, 128, 10
SLOW = partial(optim.SGD, lr=SUMMED * 3e-3)

WITH_BCE = replace(
    FINAL,
    layers=_net(*WIDE),
    loss=coded_bce,
    optimizer=SLOW,
    reported=(
        Number("first validation accuracy", ".8534"),
        Number("last validation accuracy", ".8558"),
        Number("test accuracy", ".1000", "re-run"),
    ),
    meant={"layers": mlp(*WIDE, activation=nn.ReLU), "loss": bce, "bias_rate": 1},
)
ALL_SIGMOID = replace(
    FINAL,
    layers=_net(*WIDE, hidden=coded_sigmoid),
    optimizer=SLOW,
    reported=(
        Number("first validation accuracy", ".8340"),
        Number("last validation accuracy", ".8528"),
    ),
    meant={"layers": _net(*WIDE, hidden=nn.Sigmoid, output=nn.Sigmoid), "bias_rate": 1},
)
TWO_LAYERS = replace(
    FINAL,
    layers=_net(784, 500, 10),  # the size and the rate are not printed; its weights have 500
    reported=(
        Number("first validation accuracy", ".8382"),
        Number("last validation accuracy", ".8875"),
    ),
    meant={
        **FINAL.meant,
        "layers": _net(784, 500, 10, output=nn.Sigmoid),
    },
)


def _row(hidden: int, lr: float, printed: str, *, decay: float | None = None) -> Recipe:
    """A case of tables 1 to 3: five epochs (the report says ten), and all 60,000 images."""
    recipe = replace(
        FINAL,
        data=replace(FINAL.data, train_on_all=True),
        layers=_net(784, hidden, 10),
        optimizer=partial(optim.SGD, lr=SUMMED * lr),
        epochs=5,
        keep=None,
        reported=(Number("last validation accuracy", f"{printed} %"),),
    )
    meant: dict[str, Any] = {"data": FINAL.data}  # the network, the rate and so on are kept
    if decay is not None:
        recipe = replace(
            recipe,
            optimizer=partial(DecayedSGD, lr=SUMMED * lr, decay=decay, decay_form="unscaled"),
            decay_biases=True,
        )
        # the penalty reg ||W||^2 of algorithm 1, line 8, whose gradient is multiplied by the rate
        meant |= {
            "optimizer": partial(optim.SGD, lr=SUMMED * lr),
            "penalty": nn.L2Penalty(decay / SUMMED),
        }
    return replace(recipe, meant=meant)


SIZES = dict(
    zip(
        (50, 100, 200, 500, 600, 700, 800, 1000),
        "85.66 86.02 87.00 88.02 87.61 88.12 88.34 88.59".split(),  # noqa: SIM905
        strict=True,
    )
)
RATES = {3: "9.96", 3e-1: "9.96", 3e-2: "90.00", 3e-3: "87.61", 3e-4: "83.88", 3e-5: "74.35"}
DECAYS = {
    1e-2: "61.74",
    1e-3: "81.83",
    1e-4: "88.83",
    1e-5: "89.79",
    1e-6: "89.86",
    1e-7: "90.06",
    0: "90.00",
}

BEST = best(
    (FEWER_PIXELS, *mlp(*SIZES_OF_FIGURE_1, activation=nn.ReLU)),
    "88.64 %",
    optimizer=partial(optim.AdamW, lr=2e-3, weight_decay=0.2),
    epochs=60,
)

REPORT = Report(
    "cheng",
    "001",
    "Dense networks with sigmoid outputs on Fashion-MNIST",
    (
        Experiment(
            row="C1",
            title="The final model (figure 1)",
            cases={"": FINAL},
            note="Its abstract has 91.74 % and 88.64 %, which nothing gives.",
        ),
        Experiment(
            row="C2",
            title="Binary cross-entropy (figure 2)",
            cases={"": WITH_BCE},
            note="The report finds it unstable. With the sigmoid's slope in the right place and "
            "biases that learn it is as good as the squared error.",
        ),
        Experiment(row="C3", title="All sigmoids (figure 3)", cases={"": ALL_SIGMOID}),
        Experiment(row="C4", title="Two layers (figure 4)", cases={"": TWO_LAYERS}),
        Experiment(
            row="C5",
            title="Hidden size (table 1)",
            cases={str(h): _row(h, 3e-3, v) for h, v in SIZES.items()},
            note="Tables 1 to 3 train on the validation images too; as meant, not.",
        ),
        Experiment(
            row="C6",
            title="Learning rate (table 2)",
            cases={f"{lr:g}": _row(600, lr, v) for lr, v in RATES.items()},
            note="9.96 % is the share of class 0 among the validation images: a network of NaN.",
        ),
        Experiment(
            row="C7",
            title="Decay (table 3)",
            cases={f"{r:g}": _row(600, 3e-2, v, decay=r) for r, v in DECAYS.items()},
        ),
        beyond(three_layers=BEST),
    ),
)
