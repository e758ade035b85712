"""Data sets and batches: sets by name, one's own files, splits, scaling, transforms and loaders.

Everything here is a plain NumPy array; nothing depends on the rest of the library.
"""

from .csv_file import from_csv
from .dataset import Dataset
from .download import fetch
from .errors import DataError, DatasetNotFoundError
from .folder import from_folder
from .idx import read_idx, write_idx
from .known import names
from .loader import Loader
from .prefetch import Prefetch
from .prepare import flatten, one_hot, scale, split
from .random_batches import RandomBatches
from .sources import find, load
from .splits import k_folds, stratified_split
from .transforms import Compose, RandomCrop, RandomErase, RandomFlip, RandomShift
from .zscore import ZScore

__all__ = [
    "Compose",
    "DataError",
    "Dataset",
    "DatasetNotFoundError",
    "Loader",
    "Prefetch",
    "RandomBatches",
    "RandomCrop",
    "RandomErase",
    "RandomFlip",
    "RandomShift",
    "ZScore",
    "fetch",
    "find",
    "flatten",
    "from_csv",
    "from_folder",
    "k_folds",
    "load",
    "names",
    "one_hot",
    "read_idx",
    "scale",
    "split",
    "stratified_split",
    "write_idx",
]
