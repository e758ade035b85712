"""Data sets and batches: IDX files, Fashion-MNIST by name, splits, scaling and a seeded loader.

Everything here is a plain NumPy array; nothing depends on the rest of the library.
"""

from .dataset import Dataset
from .download import fetch
from .errors import DataError, DatasetNotFoundError
from .idx import read_idx, write_idx
from .known import names
from .loader import Loader
from .prepare import flatten, one_hot, scale, split
from .sources import find, load

__all__ = [
    "DataError",
    "Dataset",
    "DatasetNotFoundError",
    "Loader",
    "fetch",
    "find",
    "flatten",
    "load",
    "names",
    "one_hot",
    "read_idx",
    "scale",
    "split",
    "write_idx",
]
