"""A data set of a few bytes that `load` and `fetch` know."""

import gzip
import hashlib

import numpy as np
import pytest

from tinygrad_fm.data import known
from tinygrad_fm.data.idx import write_idx
from tinygrad_fm.data.known import KnownDataset, KnownFile

FIELDS = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def describe(path):
    """The table's entry for a compressed IDX file."""
    published = path.read_bytes()
    payload = gzip.decompress(published)
    return KnownFile(
        path.name.removesuffix(".gz"),
        payload_bytes=len(payload),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        gz_bytes=len(published),
        gz_sha256=hashlib.sha256(published).hexdigest(),
    )


@pytest.fixture
def published(tmp_path):
    """The folder with the four official files of the data set `tiny`."""
    folder = tmp_path / "published"
    folder.mkdir()
    random = np.random.default_rng(0)
    for field, name in FIELDS.items():
        count = 6 if field.startswith("train") else 4
        array = random.integers(0, 256, (count, 3, 2)) if "images" in field else np.arange(count)
        write_idx(folder / f"{name}.gz", array.astype(np.uint8))
    return folder


@pytest.fixture
def tiny(published, monkeypatch):
    """The table's entry of `tiny`, entered into the table."""
    entry = KnownDataset(
        name="tiny",
        class_names=tuple("abcdef"),
        licence="none",
        debian_package="dataset-tiny",
        torchvision_folder="Tiny/raw",
        keras_folder="tiny",
        **{field: describe(published / f"{name}.gz") for field, name in FIELDS.items()},
    )
    monkeypatch.setitem(known.KNOWN, "tiny", entry)
    return entry


@pytest.fixture
def put(published, tiny):
    """put(folder) copies the files there, `plain=True` decompressed; `leave_out` names some."""

    def put(folder, plain=False, leave_out=()):
        folder.mkdir(parents=True, exist_ok=True)
        for file in tiny.files:
            if file.name in leave_out:
                continue
            contents = (published / f"{file.name}.gz").read_bytes()
            if plain:
                (folder / file.name).write_bytes(gzip.decompress(contents))
            else:
                (folder / f"{file.name}.gz").write_bytes(contents)
        return folder

    return put
