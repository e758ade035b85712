"""Optimizers, each written once for one flat array; schedules; clipping of gradients."""

from tinygrad_fm.optim import schedule
from tinygrad_fm.optim.adam import Adam, AdamW
from tinygrad_fm.optim.adaptive import Adagrad, RMSprop
from tinygrad_fm.optim.clip import clip_by_norm, clip_by_value
from tinygrad_fm.optim.optimizer import Optimizer
from tinygrad_fm.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_by_norm",
    "clip_by_value",
    "schedule",
]
