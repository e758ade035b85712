"""Training: the loop, its callbacks, what it records, how well it did, and weights on disk."""

from tinygrad_fm.debug import NonFiniteError
from tinygrad_fm.train.callback import Callback, TrainingState
from tinygrad_fm.train.callbacks import (
    CSVLog,
    EarlyStopping,
    MovingAverage,
    ReduceOnDrop,
    ScheduleLR,
)
from tinygrad_fm.train.checkpoint import load_weights, save_weights
from tinygrad_fm.train.evaluation import activations, evaluate, predict
from tinygrad_fm.train.graph_recorder import GraphRecorder
from tinygrad_fm.train.history import History
from tinygrad_fm.train.metrics import (
    accuracy,
    confusion_matrix,
    moving_average,
    top_k_accuracy,
)
from tinygrad_fm.train.report import (
    ClassificationReport,
    class_weights,
    classification_report,
    f1_score,
    precision,
    recall,
    report_of,
)
from tinygrad_fm.train.resume import Checkpoint
from tinygrad_fm.train.search import cross_validate, grid, random_search
from tinygrad_fm.train.trainer import fit

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "ClassificationReport",
    "EarlyStopping",
    "GraphRecorder",
    "History",
    "MovingAverage",
    "NonFiniteError",
    "ReduceOnDrop",
    "ScheduleLR",
    "TrainingState",
    "accuracy",
    "activations",
    "class_weights",
    "classification_report",
    "confusion_matrix",
    "cross_validate",
    "evaluate",
    "f1_score",
    "fit",
    "grid",
    "load_weights",
    "moving_average",
    "precision",
    "predict",
    "random_search",
    "recall",
    "report_of",
    "save_weights",
    "top_k_accuracy",
]
