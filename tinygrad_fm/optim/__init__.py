"""Optimizers: each is written once, for one flat array."""

from tinygrad_fm.optim.adam import Adam
from tinygrad_fm.optim.optimizer import Optimizer
from tinygrad_fm.optim.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer"]
