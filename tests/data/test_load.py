"""`load`: where it looks, in which order, what it verifies, and what it says when it fails."""

import gzip
import sys

import numpy as np
import pytest

from tinygrad_fm import data
from tinygrad_fm.data import DataError, Dataset, DatasetNotFoundError, places, write_idx
from tinygrad_fm.data.known import KNOWN

pytestmark = pytest.mark.usefixtures("bare_machine")


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("below", [".", "tiny", "Tiny/raw"])
def test_root_is_the_folder_or_one_above_it(tmp_path, put, below, plain):
    folder = put(tmp_path / "root" / below, plain=plain)
    found = data.load("tiny", tmp_path / "root")
    assert found.source == folder
    assert found.train_images.shape == (6, 3, 2)
    assert found.train_images.dtype == np.uint8
    assert found.test_labels.dtype == np.int64
    np.testing.assert_array_equal(found.test_labels, [0, 1, 2, 3])


def test_plain_and_compressed_files_may_be_mixed(tmp_path, put, tiny):
    put(tmp_path / "root", plain=True, leave_out=[tiny.train_images.name])
    put(tmp_path / "root", leave_out=[file.name for file in tiny.files[1:]])
    assert len(data.load("tiny", tmp_path / "root").train_images) == 6


def test_the_places_come_in_their_order(bare_machine, put, tiny, monkeypatch):
    home = bare_machine / "home"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("TINYGRAD_FM_DATA", str(bare_machine / "variable"))
    folders = [
        bare_machine / "variable" / "tiny",
        bare_machine / "variable" / "Tiny" / "raw",
        bare_machine / "variable",
        home / ".cache" / "tinygrad_fm" / "tiny",
        bare_machine / "debian" / "tiny",
        bare_machine / "here" / "data" / "Tiny" / "raw",
        home / "data" / "Tiny" / "raw",
        home / ".keras" / "datasets" / "tiny",
    ]
    assert [place.folder for place in places.places(tiny)] == folders
    for folder in reversed(folders):
        put(folder)
        assert data.find("tiny") == folder
        assert data.load("tiny").source == folder


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", None, "home/.cache/tinygrad_fm"),
        ("linux", "XDG_CACHE_HOME", "elsewhere/tinygrad_fm"),
        ("darwin", "XDG_CACHE_HOME", "home/Library/Caches/tinygrad_fm"),
        ("win32", None, "home/AppData/Local/tinygrad_fm"),
        ("win32", "LOCALAPPDATA", "elsewhere/tinygrad_fm"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(
    bare_machine, monkeypatch, platform, variable, expected
):
    monkeypatch.setattr(sys, "platform", platform)
    if variable:
        monkeypatch.setenv(variable, str(bare_machine / "elsewhere"))
    assert places.cache_folder() == bare_machine / expected


def test_a_relative_cache_variable_is_ignored(bare_machine, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert places.cache_folder() == bare_machine / "home" / ".cache" / "tinygrad_fm"


def test_a_user_without_a_home_still_finds_what_the_system_has(bare_machine, put, monkeypatch):
    def refuse():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(places.Path, "home", refuse)
    assert data.load("tiny", put(bare_machine / "root")).name == "tiny"
    put(bare_machine / "debian" / "tiny")
    assert data.load("tiny").source == bare_machine / "debian" / "tiny"


def test_a_tilde_in_root_is_the_home(bare_machine, put):
    put(bare_machine / "home" / "mine")
    assert data.load("tiny", "~/mine").source == bare_machine / "home" / "mine"


def test_not_found_lists_every_place_and_the_ways_out(bare_machine, put, tiny):
    partial = put(bare_machine / "debian" / "tiny", leave_out=[tiny.test_labels.name])
    with pytest.raises(DatasetNotFoundError) as caught:
        data.load("tiny")
    message = str(caught.value)
    for place in places.places(tiny):
        assert str(place.folder) in message
    assert f"{partial} (Debian's dataset-tiny): lacks {tiny.test_labels.name}" in message
    for way in (
        "$TINYGRAD_FM_DATA is not set",
        "apt install dataset-tiny",
        "tinygrad-fm data fetch tiny",
        'data.load("tiny", download=True)',
        'data.load("fashion-mnist-mini")',
    ):
        assert way in message
    assert data.find("tiny") is None


def test_an_explicit_root_is_the_only_place(bare_machine, put):
    put(bare_machine / "debian" / "tiny")
    with pytest.raises(DatasetNotFoundError, match="explicit root is the only place") as caught:
        data.load("tiny", bare_machine / "empty")
    assert "debian" not in str(caught.value).split("To get it")[0]


@pytest.mark.parametrize("plain", [True, False])
def test_a_changed_payload_is_refused(tmp_path, put, tiny, plain):
    folder = put(tmp_path / "root", plain=plain)
    write_idx(folder / tiny.test_labels.name, np.array([3, 2, 1, 0], np.uint8))
    with pytest.raises(DataError, match="sha256") as caught:
        data.load("tiny", folder)
    assert str(folder / tiny.test_labels.name) in str(caught.value)
    assert tiny.test_labels.payload_sha256 in str(caught.value)
    assert "tinygrad-fm data fetch tiny" in str(caught.value)


def test_a_rewritten_gzip_header_is_no_change(tmp_path, put, tiny):
    folder = put(tmp_path / "root")
    path = folder / f"{tiny.train_images.name}.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=7))
    assert data.load("tiny", folder).name == "tiny"


def test_another_sets_file_is_recognised(tmp_path, put, tiny):
    folder = put(tmp_path / "root")
    mini = places.SHIPPED_FOLDER / f"{tiny.test_labels.name}.gz"
    swapped = folder / f"{tiny.test_images.name}.gz"
    swapped.write_bytes((folder / f"{tiny.test_labels.name}.gz").read_bytes())
    with pytest.raises(DataError, match=f"but tiny's {tiny.test_labels.name}"):
        data.load("tiny", folder)
    swapped.write_bytes(mini.read_bytes())
    with pytest.raises(DataError, match=f"it is not tiny's {tiny.test_images.name}"):
        data.load("tiny", folder)  # larger than it may be, so it is not even unpacked


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(DataError, match="'fashion_mnist'; did you mean 'fashion-mnist'"):
        data.load("fashion_mnist")
    with pytest.raises(DataError, match="did you mean 'fashion-mnist-mini'"):
        data.find("Fashion MNIST mini")
    with pytest.raises(DataError, match="'cifar'; expected one of 'fashion-mnist', "):
        data.load("cifar")
    assert data.names() == ("fashion-mnist", "fashion-mnist-mini", "kmnist")


@pytest.mark.parametrize("entry", KNOWN.values(), ids=lambda entry: entry.name)
def test_every_entry_of_the_table_is_whole(entry):
    assert KNOWN[entry.name] is entry
    assert len(entry.class_names) == len(set(entry.class_names)) == 10
    assert entry.licence
    assert entry.shipped or entry.mirrors
    assert all(url.startswith("https://") and url.endswith("/") for url in entry.mirrors)
    for file in entry.files:
        assert file.payload_sha256 or (file.gz_sha256 and file.npz_md5)
        for digest in (file.payload_sha256, file.gz_sha256):
            assert len(bytes.fromhex(digest)) in (
                (0, 32) if entry.shipped or file.npz_md5 else (32,)
            )
        assert len(bytes.fromhex(file.npz_md5)) == (16 if file.npz_name else 0)
        assert entry.shipped or file.gz_sha256
        assert entry.shipped or 0 < file.gz_bytes < file.payload_bytes


def dataset(**changed):
    images, labels = np.zeros((3, 2, 2), np.uint8), np.array([0, 1, 1])
    given = {
        "name": "mine",
        "train_images": images,
        "train_labels": labels,
        "test_images": images,
        "test_labels": labels,
        "class_names": ("shirt", "bag"),
        "licence": "none",
        "source": places.SHIPPED_FOLDER,
    }
    return Dataset(**(given | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"test_labels": np.array([0, 1])}, r"test_images have shape \(3, 2, 2\) .*\(2,\)"),
        ({"train_labels": np.array([0, 1, 2])}, "train_labels run from 0 to 2; expected 0 to 1"),
        ({"train_labels": np.array([0, 1, -1])}, "train_labels run from -1 to 1"),
        ({"test_labels": np.eye(3)}, "test_labels are float64 .*expected one integer per image"),
        ({"train_images": np.array(3)}, r"train_images have shape \(\)"),
    ],
)
def test_a_data_set_that_does_not_fit_together_is_refused(changed, message):
    with pytest.raises(DataError, match=message):
        dataset(**changed)


def test_a_data_set_prints_as_one_line():
    assert repr(dataset()).startswith(
        "<Dataset mine: 3 training and 3 test images of 2x2 uint8, 2 classes, from "
    )
