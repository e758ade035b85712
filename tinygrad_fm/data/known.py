"""The table of the data sets that `load` knows: their files, checksums, licences and class names.

To add a set, add one `KnownDataset`. Sizes and checksums are those of the official files.
"""

from __future__ import annotations

from typing import NamedTuple

from .errors import DataError


class KnownFile(NamedTuple):
    """One IDX file: `payload` is the decompressed file, `gz` the compressed one as published.

    The payload is what identifies a file: redistributors compress it anew, and only a download is
    held to the published compression. Where nobody has published the payload's checksum, that of
    the compressed file is all there is to go by. `npz` is the same array as NumPy's archive.
    """

    name: str  # without ".gz"
    payload_bytes: int
    payload_sha256: str = ""
    gz_bytes: int = 0  # zero for what is never downloaded
    gz_sha256: str = ""
    npz_name: str = ""  # with ".npz"; its one array is `arr_0`
    npz_md5: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The names it may have in a folder, the first preferred: plain reads faster."""
        names = (self.name, f"{self.name}.gz")
        return (*names, self.npz_name) if self.npz_name else names


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

    def files_of(self, parts: str) -> tuple[KnownFile, ...]:
        """The files that "all", "train" or "test" needs; DataError for any other word."""
        choices = {"all": self.files, "train": self.files[:2], "test": self.files[2:]}
        if parts not in choices:
            raise DataError(f"parts={parts!r}; expected one of {', '.join(map(repr, choices))}")
        return choices[parts]


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

# Clanuwat et al., "Deep Learning for Classical Japanese Literature", arXiv:1812.01718. The
# checksums of the decompressed training files are not published. Those of the test files are of
# the official npz archives, written as IDX.
KMNIST = KnownDataset(
    name="kmnist",
    train_images=KnownFile(
        "train-images-idx3-ubyte",
        payload_bytes=47_040_016,
        gz_bytes=18_165_135,
        gz_sha256="51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        npz_name="kmnist-train-imgs.npz",
        npz_md5="a183fbc01ed9a345513b145673d3d0bb",
    ),
    train_labels=KnownFile(
        "train-labels-idx1-ubyte",
        payload_bytes=60_008,
        gz_bytes=29_497,
        gz_sha256="e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        npz_name="kmnist-train-labels.npz",
        npz_md5="b0e1d240e8afec72b50437fc3bc5908a",
    ),
    test_images=KnownFile(
        "t10k-images-idx3-ubyte",
        payload_bytes=7_840_016,
        payload_sha256="76fbd229ce87db80dd281af5e6670de4ad0e42fb30a7bd643972994c47c1f42e",
        gz_bytes=3_041_136,
        gz_sha256="edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        npz_name="kmnist-test-imgs.npz",
        npz_md5="dace6de62ca8b90843cc45366337d02e",
    ),
    test_labels=KnownFile(
        "t10k-labels-idx1-ubyte",
        payload_bytes=10_008,
        payload_sha256="a11dc742be8e781a40a92f53d6a4957e7b7d36df2faa097659131ebfd8fd60c6",
        gz_bytes=5_120,
        gz_sha256="20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        npz_name="kmnist-test-labels.npz",
        npz_md5="3ae489a79983d0fe386152684e3b5412",
    ),
    # The official names are these syllables in Hiragana; Latin ones print in every font.
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    licence="CC BY-SA 4.0, KMNIST Dataset (created by CODH), adapted from Kuzushiji Dataset "
    "(created by NIJL and others), doi:10.20676/00000341",
    mirrors=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    torchvision_folder="KMNIST/raw",
)

KNOWN = {known.name: known for known in (FASHION_MNIST, FASHION_MNIST_MINI, KMNIST)}


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
