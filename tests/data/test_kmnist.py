"""KMNIST's forms - IDX and npz - on a small set of the same kind, and what can be verified."""

import gzip
import hashlib

import numpy as np
import pytest

from tinygrad_fm import data
from tinygrad_fm.data import DataError, DatasetNotFoundError, download, known, places, write_idx
from tinygrad_fm.data.known import KNOWN, KnownFile

pytestmark = pytest.mark.usefixtures("bare_machine")


@pytest.fixture
def arrays(tiny, published):
    """The arrays of `tiny` by the names of their files."""
    return {file.name: data.read_idx(published / f"{file.name}.gz") for file in tiny.files}


@pytest.fixture
def kana(tiny, arrays, tmp_path, monkeypatch):
    """`tiny` as KMNIST is known: npz files, and no payload checksum of the training files."""

    def as_kmnist(file, train):
        path = tmp_path / "npz" / f"{file.name}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, arrays[file.name])
        return KnownFile(
            file.name,
            file.payload_bytes,
            "" if train else file.payload_sha256,
            file.gz_bytes,
            file.gz_sha256,
            path.name,
            hashlib.md5(path.read_bytes()).hexdigest(),
        )

    fields = ("train_images", "train_labels", "test_images", "test_labels")
    entry = tiny._replace(**{f: as_kmnist(getattr(tiny, f), f.startswith("train")) for f in fields})
    monkeypatch.setitem(known.KNOWN, "tiny", entry)
    return entry


def put_npz(kana, tmp_path, folder, leave_out=()):
    folder.mkdir(parents=True, exist_ok=True)
    for file in kana.files:
        if file.npz_name not in leave_out:
            (folder / file.npz_name).write_bytes((tmp_path / "npz" / file.npz_name).read_bytes())
    return folder


def check_is_tiny(found, arrays):
    given = (found.train_images, found.train_labels, found.test_images, found.test_labels)
    for array, expected in zip(given, arrays.values(), strict=True):
        np.testing.assert_array_equal(array, expected)
    assert found.train_images.dtype == np.uint8
    assert found.train_labels.dtype == np.int64


@pytest.mark.parametrize("below", [".", "tiny", "Tiny/raw"])
def test_npz_files_are_read_and_verified(kana, arrays, tmp_path, below):
    put_npz(kana, tmp_path, tmp_path / "root" / below)
    found = data.load("tiny", tmp_path / "root")
    check_is_tiny(found, arrays)
    assert found.unverified == ()


def test_official_gz_files_are_verified(kana, arrays, tmp_path, put):
    found = data.load("tiny", put(tmp_path / "root"))
    check_is_tiny(found, arrays)
    assert found.unverified == ()
    assert "not verified" not in repr(found)


def test_idx_and_npz_may_be_mixed(kana, arrays, tmp_path, put):
    folder = put(tmp_path / "root", leave_out=[kana.train_images.name, kana.test_labels.name])
    put_npz(kana, tmp_path, folder)
    check_is_tiny(data.load("tiny", folder), arrays)


def test_what_no_checksum_covers_is_read_and_named(kana, arrays, tmp_path, put):
    folder = put(tmp_path / "root", plain=True)
    found = data.load("tiny", folder)
    check_is_tiny(found, arrays)
    assert found.unverified == (kana.train_images.name, kana.train_labels.name)
    assert f"not verified: {kana.train_images.name}, {kana.train_labels.name}>" in repr(found)
    path = folder / f"{kana.train_images.name}.gz"
    (folder / kana.train_images.name).unlink()
    write_idx(path, arrays[kana.train_images.name][::-1])
    assert data.load("tiny", folder).unverified == (path.name, kana.train_labels.name)


def test_an_npz_compressed_anew_is_verified_only_where_its_payload_is_known(kana, arrays, tmp_path):
    folder = put_npz(kana, tmp_path, tmp_path / "root")
    for file in kana.files:
        np.savez(folder / file.npz_name, arrays[file.name])
    found = data.load("tiny", folder)
    assert found.unverified == (kana.train_images.npz_name, kana.train_labels.npz_name)


def test_a_changed_test_file_is_refused(kana, arrays, tmp_path):
    folder = put_npz(kana, tmp_path, tmp_path / "root")
    np.savez(folder / kana.test_labels.npz_name, arrays[kana.test_labels.name][::-1])
    with pytest.raises(DataError, match=f"is not tiny's {kana.test_labels.name}: .*sha256"):
        data.load("tiny", folder)


def test_the_official_archive_counts_where_the_payloads_sum_is_of_the_npz(kana, put, tmp_path):
    other = kana.test_images._replace(payload_sha256="0" * 64)
    KNOWN["tiny"] = kana._replace(test_images=other)
    assert data.load("tiny", put(tmp_path / "root")).unverified == ()


def test_a_training_file_of_another_set_is_refused(kana, tmp_path, put, monkeypatch):
    owner = kana._replace(
        name="other",
        train_images=kana.train_images._replace(
            payload_sha256=hashlib.sha256(
                gzip.decompress((put(tmp_path / "p") / f"{kana.train_images.name}.gz").read_bytes())
            ).hexdigest()
        ),
    )
    monkeypatch.setitem(KNOWN, "other", owner)
    with pytest.raises(DataError, match=f"but other's {kana.train_images.name}"):
        data.load("tiny", put(tmp_path / "root", plain=True))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((5, 3, 2), np.uint8),
            r"holds uint8 \(5, 3, 2\), 46 bytes as IDX; expected uint8",
        ),
        (np.zeros((6, 6), np.int8), r"holds int8 \(6, 6\)"),
        (np.zeros((2_000, 3, 2), np.uint8), "has 12,128 bytes; expected about 52"),
        (np.array([None]), "is corrupt: Object arrays cannot be loaded"),
    ],
)
def test_an_npz_that_cannot_be_the_set_is_refused(kana, tmp_path, array, message):
    folder = put_npz(kana, tmp_path, tmp_path / "root")
    np.savez(folder / kana.train_images.npz_name, array)
    with pytest.raises(DataError, match=message):
        data.load("tiny", folder)


@pytest.mark.parametrize("kept", [0, 10, 200, -1])
def test_a_truncated_npz_is_refused(kana, tmp_path, kept):
    folder = put_npz(kana, tmp_path, tmp_path / "root")
    path = folder / kana.train_images.npz_name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=f"{path.name} is corrupt"):
        data.load("tiny", folder)


def test_an_npz_without_its_array_names_what_it_holds(kana, tmp_path):
    folder = put_npz(kana, tmp_path, tmp_path / "root")
    np.savez(folder / kana.train_images.npz_name, images=np.zeros(3))
    with pytest.raises(DataError, match=r"holds images.npy; expected arr_0.npy"):
        data.load("tiny", folder)


def test_the_test_part_alone(kana, arrays, tmp_path):
    train = [kana.train_images.npz_name, kana.train_labels.npz_name]
    folder = put_npz(kana, tmp_path, tmp_path / "root", leave_out=train)
    with pytest.raises(DatasetNotFoundError) as caught:
        data.load("tiny", folder)
    for text in (
        f"{kana.train_images.name} (or {train[0]})",
        f"lacks {kana.train_images.name}, {kana.train_labels.name}",
        f"The test part alone is in {folder}",
        'data.load("tiny", parts="test")',
    ):
        assert text in str(caught.value)
    found = data.load("tiny", folder, parts="test")
    np.testing.assert_array_equal(found.test_images, arrays[kana.test_images.name])
    assert found.train_images.shape == (0, 3, 2)
    assert found.train_labels.shape == (0,)
    with pytest.raises(DatasetNotFoundError, match=r"tiny \(train part\) was not found"):
        data.load("tiny", folder, parts="train")


def test_the_training_part_alone(kana, tmp_path, put):
    test = [kana.test_images.name, kana.test_labels.name]
    found = data.load("tiny", put(tmp_path / "root", leave_out=test), parts="train")
    assert (len(found.train_images), len(found.test_images)) == (6, 0)


def test_fetch_keeps_what_is_verified_and_what_a_download_would_not_replace(
    kana, arrays, tmp_path, put
):
    def is_kept(folder):
        return download._already_there(folder, kana, kana.train_images)

    assert is_kept(put(tmp_path / "gz"))
    assert is_kept(put(tmp_path / "plain", plain=True))
    anew = put(tmp_path / "anew")
    write_idx(anew / f"{kana.train_images.name}.gz", arrays[kana.train_images.name][::-1])
    assert not is_kept(anew)
    npz = put_npz(kana, tmp_path, tmp_path / "npz_files")
    assert is_kept(npz)
    (npz / kana.train_images.npz_name).write_bytes(b"damaged")
    assert not is_kept(npz)


def test_an_unknown_part_is_refused():
    with pytest.raises(DataError, match="parts='tests'; expected one of 'all', 'train', 'test'"):
        data.load("kmnist", parts="tests")


def test_kmnist_itself():
    entry = KNOWN["kmnist"]
    assert entry.class_names[3] == "tsu"
    assert "CC BY-SA 4.0" in entry.licence
    assert entry.mirrors == ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
    folders = [str(place.folder) for place in places.places(entry, "root")]
    assert [f.rpartition("root/")[2] for f in folders[:2]] == ["kmnist", "KMNIST/raw"]
    with pytest.raises(DatasetNotFoundError, match="or kmnist-train-imgs"):
        data.load("kmnist")
