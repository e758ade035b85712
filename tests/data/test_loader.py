"""The loader: what a batch is, what an epoch is, and what is refused."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_fm.data import DataError, Loader, one_hot, scale

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 3, 2), dtype=np.uint8)
LABELS = np.arange(10)


@given(count=st.integers(1, 40), size=st.integers(1, 40), drop=st.booleans(), shuffle=st.booleans())
def test_an_epoch_holds_each_example_once(count, size, drop, shuffle):
    if size > count:
        return
    images, labels = np.arange(count, dtype=np.float32), np.arange(count)
    loader = Loader(images, labels, batch_size=size, drop_last=drop, shuffle=shuffle)
    batches = list(loader)
    assert len(batches) == len(loader)
    seen = np.concatenate([y for _, y in batches])
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches])[:, 0], seen)
    assert len(np.unique(seen)) == len(seen) == (count - count % size if drop else count)
    assert all(len(y) == size for _, y in batches[: count // size])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize(
    "images",
    [
        IMAGES,
        IMAGES[:, None],
        IMAGES[:, ::2],
        IMAGES.transpose(0, 2, 1),
        np.asfortranarray(IMAGES),
        scale(IMAGES),
        scale(IMAGES, np.float64),
        scale(IMAGES, np.float16),
        scale(IMAGES).astype(">f4"),
        scale(IMAGES)[:, ::-1],
    ],
    ids=lambda images: f"{images.dtype.str}{images.shape}{images.strides}",
)
def test_a_batch_is_contiguous_float32_of_its_own(images, flatten, shuffle):
    before = images.copy()
    seen = []
    for x, y in Loader(images, LABELS, batch_size=4, flatten=flatten, shuffle=shuffle):
        expected = images[y] if images.dtype.kind == "f" else scale(images[y])
        expected = expected.reshape(len(y), -1) if flatten else expected
        np.testing.assert_array_equal(x, expected.astype(np.float32), strict=True)
        assert x.flags.c_contiguous
        assert x.flags.writeable
        assert not any(np.shares_memory(x, other) for other in [images, *seen])
        seen.append(x)
        x[...] = -1
    np.testing.assert_array_equal(images, before)


def test_labels_are_int64_or_float32():
    _, y = next(iter(Loader(IMAGES, LABELS.astype(np.uint8), batch_size=4)))
    assert (y.dtype, y.shape) == (np.int64, (4,))
    _, y = next(iter(Loader(IMAGES, one_hot(LABELS, dtype=np.float64), batch_size=4)))
    assert (y.dtype, y.shape) == (np.float32, (4, 10))


@pytest.mark.parametrize("shuffle", [True, False])
def test_labels_of_a_batch_are_its_own(shuffle):
    labels = np.arange(10)
    for _, y in Loader(IMAGES, labels, batch_size=4, shuffle=shuffle):
        y[...] = -1
    np.testing.assert_array_equal(labels, np.arange(10))


@pytest.mark.parametrize("images", [IMAGES, scale(IMAGES), scale(IMAGES, np.float64)])
def test_a_scale_multiplies(images):
    loader = Loader(images, LABELS, batch_size=10, shuffle=False, scale=0.5)
    (x, _) = next(iter(loader))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, images.reshape(10, -1) * 0.5, rtol=1e-6)


def orders(loader, epochs=3):
    return [[int(label) for _, y in loader for label in y] for _ in range(epochs)]


def test_the_same_seed_gives_the_same_batches_and_each_epoch_its_own():
    images, labels = np.zeros((100, 1)), np.arange(100)
    first = orders(Loader(images, labels, batch_size=8, seed=1))
    assert first == orders(Loader(images, labels, batch_size=25, seed=1))
    assert first != orders(Loader(images, labels, batch_size=8, seed=2))
    assert len({tuple(order) for order in first}) == 3
    assert orders(Loader(images, labels, batch_size=8)) == orders(
        Loader(images, labels, batch_size=8, seed=0)
    )


def test_in_order_without_shuffle():
    assert orders(Loader(IMAGES, LABELS, batch_size=4, shuffle=False)) == [list(range(10))] * 3


def test_the_epoch_counts_and_can_be_set_to_continue():
    loader = Loader(IMAGES, LABELS, batch_size=4, seed=3)
    assert loader.epoch == 0
    all_of_them = orders(loader, 4)
    assert loader.epoch == 4
    later = Loader(IMAGES, LABELS, batch_size=4, seed=3)
    later.epoch = 2
    assert orders(later, 2) == all_of_them[2:]


def test_a_left_epoch_does_not_disturb_the_next():
    loader = Loader(IMAGES, LABELS, batch_size=4, seed=3)
    expected = orders(Loader(IMAGES, LABELS, batch_size=4, seed=3), 2)
    next(iter(loader))
    assert orders(loader, 1) == expected[1:]


def test_two_iterations_at_once_do_not_mix():
    loader = Loader(IMAGES, LABELS, batch_size=5, seed=3)
    expected = orders(Loader(IMAGES, LABELS, batch_size=5, seed=3), 2)
    pairs = list(zip(loader, loader, strict=True))
    assert [[int(v) for pair in pairs for v in pair[side][1]] for side in (0, 1)] == expected


def test_the_set_is_not_copied():
    images = np.zeros((2_000, 28, 28), np.uint8)
    for view in (images, images[:, ::2], images.transpose(0, 2, 1)):
        tracemalloc.start()
        try:
            for _ in Loader(view, np.zeros(2_000, int), batch_size=10):
                pass
            assert tracemalloc.get_traced_memory()[1] < images.nbytes / 8
        finally:
            tracemalloc.stop()


def test_a_read_only_set_is_fine():
    images = IMAGES.copy()
    images.flags.writeable = False
    assert len(list(Loader(images, LABELS, batch_size=3))) == 4


def test_a_loader_prints_what_it_does():
    text = repr(Loader(IMAGES, LABELS, batch_size=4))
    assert text == "<Loader: 3 batches of 4 from uint8 (10, 3, 2), shuffled, seed 0, epoch 0>"


def spoiled(value, dtype=np.float32):
    images = np.zeros((10, 2), dtype)
    images[7, 1] = value
    return images


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, DataError, r"\(0, 3, 2\).*at least one"),
        ({"images": np.uint8(3), "labels": 3}, DataError, r"shape \(\).*expected \(N, ...\)"),
        ({"labels": np.zeros((10, 0))}, DataError, r"labels of shape \(10, 0\)"),
        ({"labels": LABELS[:9]}, DataError, "10 images but 9 labels; expected one label"),
        ({"batch_size": 0}, DataError, "batch_size is 0; expected a whole number, at least 1"),
        ({"batch_size": -3}, DataError, "batch_size is -3"),
        ({"batch_size": 2.5}, TypeError, "batch_size is 2.5; expected a whole number"),
        ({"batch_size": "4"}, TypeError, "batch_size is '4'"),
        ({"batch_size": True}, TypeError, "batch_size is True"),
        ({"batch_size": 11}, DataError, "batch_size 11 is larger than the 10 examples"),
        ({"batch_size": 11, "drop_last": True}, DataError, "larger than the 10 examples"),
        ({"seed": None}, TypeError, "seed is None; expected a whole number, at least 0"),
        ({"seed": -1}, DataError, "seed is -1"),
        ({"images": IMAGES.astype(int)}, DataError, r"images of int64; .*astype\(np.float32\)"),
        ({"images": IMAGES.astype(complex)}, DataError, "images of complex128"),
        ({"labels": np.array(list("abcdefghij"))}, DataError, "labels of <U1; expected integers"),
        ({"images": spoiled(np.nan)}, DataError, r"images that contain nan at index \(7, 1\)"),
        ({"images": spoiled(-np.inf)}, DataError, r"images that contain -inf at index \(7, 1\)"),
        ({"images": spoiled(np.nan, np.float16)}, DataError, r"contain nan at index \(7, 1\)"),
        ({"images": spoiled(1e300, float)}, DataError, r"1e\+300 at .*that float32 can hold"),
        ({"labels": spoiled(np.nan)}, DataError, r"labels that contain nan at index \(7, 1\)"),
    ],
)
def test_what_cannot_be_loaded_is_refused(changed, error, message):
    arguments = {"images": IMAGES, "labels": LABELS, "batch_size": 4} | changed
    with pytest.raises(error, match=message):
        Loader(**arguments)
