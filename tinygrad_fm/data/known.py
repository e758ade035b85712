"""The table of the data sets that `load` knows: their files, checksums, licences and class names.

To add a set, add one `KnownDataset`. Every payload needs its checksum; sizes and checksums are
those of the official files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import DataError
from .idx import read_payload

if TYPE_CHECKING:
    from numpy.typing import NDArray


class KnownFile(NamedTuple):
    """One IDX file: `payload` is the decompressed file, `gz` the compressed one as published.

    The payload is what identifies a file: redistributors compress it anew, and only a download is
    held to the published compression.
    """

    name: str  # without ".gz"
    payload_bytes: int
    payload_sha256: str
    gz_bytes: int = 0  # zero for what is never downloaded
    gz_sha256: str = ""


class KnownDataset(NamedTuple):
    """One data set: the files that fill the fields of a `Dataset`, and where they may be had."""

    name: str
    train_images: KnownFile
    train_labels: KnownFile
    test_images: KnownFile
    test_labels: KnownFile
    class_names: tuple[str, ...]
    licence: str
    mirrors: tuple[str, ...] = ()  # https folders that serve every `name`.gz, the first tried first
    debian_package: str = ""  # its files are in /usr/share/datasets/<name>
    torchvision_folder: str = ""  # below torchvision's root
    keras_folder: str = ""  # below ~/.keras/datasets
    shipped: bool = False  # inside this package, in the folder mini/

    @property
    def files(self) -> tuple[KnownFile, ...]:
        """The four files, in the order of `Dataset`'s fields."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)


FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FASHION_LICENCE = "MIT, Copyright © 2017 Zalando SE, https://tech.zalando.com"

FASHION_MNIST = KnownDataset(
    name="fashion-mnist",
    train_images=KnownFile(
        "train-images-idx3-ubyte",
        payload_bytes=47_040_016,
        payload_sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        gz_bytes=26_421_880,
        gz_sha256="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    train_labels=KnownFile(
        "train-labels-idx1-ubyte",
        payload_bytes=60_008,
        payload_sha256="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        gz_bytes=29_515,
        gz_sha256="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    test_images=KnownFile(
        "t10k-images-idx3-ubyte",
        payload_bytes=7_840_016,
        payload_sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        gz_bytes=4_422_102,
        gz_sha256="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    test_labels=KnownFile(
        "t10k-labels-idx1-ubyte",
        payload_bytes=10_008,
        payload_sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        gz_bytes=5_148,
        gz_sha256="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    class_names=FASHION_CLASSES,
    licence=FASHION_LICENCE,
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    debian_package="dataset-fashion-mnist",
    torchvision_folder="FashionMNIST/raw",
    keras_folder="fashion-mnist",
)

# 6,000 and 1,000 of the official images, 600 and 100 of each class; make_mini.py draws them.
FASHION_MNIST_MINI = KnownDataset(
    name="fashion-mnist-mini",
    train_images=KnownFile(
        "train-images-idx3-ubyte",
        payload_bytes=4_704_016,
        payload_sha256="edae2dcb56f58d1d38cd74d538e316216c1aac7aec3bf7869b9a0138c36437be",
    ),
    train_labels=KnownFile(
        "train-labels-idx1-ubyte",
        payload_bytes=6_008,
        payload_sha256="1115762a338cd160939e19c098b23bb86230b2cc9121e67794212442483168a8",
    ),
    test_images=KnownFile(
        "t10k-images-idx3-ubyte",
        payload_bytes=784_016,
        payload_sha256="9f0002171afd75602d707c9fa33b581aa0508724b31816a07d240334cd243009",
    ),
    test_labels=KnownFile(
        "t10k-labels-idx1-ubyte",
        payload_bytes=1_008,
        payload_sha256="446a09661b90a5c2e3bea1e3022a6a5a7025884ea7885e67ff7b1be3a912f392",
    ),
    class_names=FASHION_CLASSES,
    licence=FASHION_LICENCE,
    shipped=True,
)

KNOWN = {known.name: known for known in (FASHION_MNIST, FASHION_MNIST_MINI)}


def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(KNOWN)


def look_up(name: str) -> KnownDataset:
    """The table's entry for a name, or a DataError that suggests the nearest one."""
    if name in KNOWN:
        return KNOWN[name]
    import difflib

    spelled = str(name).lower().replace("_", "-").replace(" ", "-")
    nearest = difflib.get_close_matches(spelled, KNOWN, n=1, cutoff=0.5)
    suggestion = f"did you mean {nearest[0]!r}? Expected" if nearest else "expected"
    raise DataError(f"unknown data set {name!r}; {suggestion} one of {', '.join(map(repr, KNOWN))}")


def read_verified(known: KnownDataset, file: KnownFile, path: Path) -> NDArray[Any]:
    """Read a file that should be `file`; DataError where its payload is not the official one."""
    import hashlib

    digest = hashlib.sha256()
    remedy = f"delete it and get it again{_fetch_hint(known)}"
    array = read_payload(
        path,
        file.payload_bytes,
        f"it is not {known.name}'s {file.name}: {remedy}",
        digest.update,
    )
    found = digest.hexdigest()
    if found != file.payload_sha256:
        raise DataError(
            f"{path} is not {known.name}'s {file.name}{_belongs_to(found)}: its decompressed bytes "
            f"have sha256 {found}; expected {file.payload_sha256}; {remedy}"
        )
    return array


def _fetch_hint(known: KnownDataset) -> str:
    if known.shipped:
        return " by reinstalling tinygrad_fm"
    return f" with `tinygrad-fm data fetch {known.name}`"


def _belongs_to(payload_sha256: str) -> str:
    for known in KNOWN.values():
        for file in known.files:
            if file.payload_sha256 == payload_sha256:
                return f" but {known.name}'s {file.name}"
    return ""
