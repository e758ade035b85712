"""Training: the loop, what it records, how well it did, and weights on disk."""

from tinygrad_fm.debug import NonFiniteError
from tinygrad_fm.train.callback import Callback, TrainingState
from tinygrad_fm.train.checkpoint import load_weights, save_weights
from tinygrad_fm.train.evaluation import evaluate, predict
from tinygrad_fm.train.history import History
from tinygrad_fm.train.metrics import accuracy, confusion_matrix
from tinygrad_fm.train.trainer import fit

__all__ = [
    "Callback",
    "History",
    "NonFiniteError",
    "TrainingState",
    "accuracy",
    "confusion_matrix",
    "evaluate",
    "fit",
    "load_weights",
    "predict",
    "save_weights",
]
