"""Random shift, crop, flip and erase: what they do to pixels, and the same bits for a seed."""

import numpy as np
import pytest

from tinygrad_fm.data import (
    Compose,
    DataError,
    Loader,
    RandomCrop,
    RandomErase,
    RandomFlip,
    RandomShift,
)

IMAGES = np.random.default_rng(0).integers(1, 256, (300, 5, 4), dtype=np.uint8)
ALL = [
    RandomShift(2),
    RandomCrop((3, 2)),
    RandomCrop(4, padding=1),
    RandomFlip(),
    RandomErase((1, 3)),
    Compose(RandomShift(1), RandomFlip(), RandomCrop(3)),
]


def shifted(image, down, right):
    """By hand: every pixel that stays inside, at its new place."""
    result = np.zeros_like(image)
    for y, x in np.ndindex(image.shape):
        if 0 <= y + down < image.shape[0] and 0 <= x + right < image.shape[1]:
            result[y + down, x + right] = image[y, x]
    return result


def test_a_shift_moves_by_whole_pixels_and_fills_with_zero():
    seen = set()
    for before, after in zip(IMAGES, RandomShift(1, seed=0)(IMAGES), strict=True):
        offsets = [(d, r) for d in (-1, 0, 1) for r in (-1, 0, 1)]
        (found,) = [o for o in offsets if np.array_equal(after, shifted(before, *o))]
        seen.add(found)
    assert len(seen) == 9  # all of them occur


def test_a_shift_may_fill_with_another_value_and_be_none():
    assert (RandomShift(4, fill=9, seed=0)(np.full((50, 3, 3), 9.0)) == 9).all()
    np.testing.assert_array_equal(RandomShift(0, seed=0)(IMAGES), IMAGES, strict=True)


def test_a_crop_is_a_window_of_the_padded_image():
    seen = set()
    for before, after in zip(IMAGES, RandomCrop((5, 3), 1, seed=0)(IMAGES), strict=True):
        padded = np.pad(before, 1)
        places = [(y, x) for y in range(3) for x in range(4)]
        (found,) = [
            (y, x) for y, x in places if np.array_equal(after, padded[y : y + 5, x : x + 3])
        ]
        seen.add(found)
    assert len(seen) == 12


def test_a_flip_mirrors_about_that_share():
    flipped = (RandomFlip(0.3, seed=0)(IMAGES) == IMAGES[:, :, ::-1]).all((1, 2))
    assert 60 < flipped.sum() < 120
    np.testing.assert_array_equal(RandomFlip(0, seed=0)(IMAGES), IMAGES)
    np.testing.assert_array_equal(RandomFlip(1, seed=0)(IMAGES), IMAGES[:, :, ::-1])


def test_an_erased_rectangle_has_sides_between_the_two_where_it_is_not_cut_off():
    images = np.ones((2000, 9, 7), np.float32)
    seen, touched = set(), np.zeros((9, 7), bool)
    erased = RandomErase((2, 4), 0.6, fill=-3, seed=0)(images)
    for image in erased:
        covered = image != 1
        rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
        if not len(rows):
            continue
        part = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (part == -3).all()
        touched |= covered
        if rows[0] > 0 and rows[-1] < 8 and columns[0] > 0 and columns[-1] < 6:
            seen.add(part.shape)
    assert seen == {(h, w) for h in (2, 3, 4) for w in (2, 3, 4)}
    assert touched.all()
    assert 1100 < np.count_nonzero((erased != 1).any(axis=(1, 2))) < 1300


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sides": (3, 2)}, r"sides is \(3, 2\); expected the smaller number first"),
        ({"sides": (0, 2)}, "sides is 0"),
        ({"sides": 3}, r"sides is 3; .*RandomErase\(\(5, 12\)\)"),
        ({"sides": (1, 2), "probability": 1.5}, "RandomErase: probability is 1.5"),
    ],
)
def test_what_cannot_be_erased_is_refused(options, words):
    with pytest.raises(DataError, match=words):
        RandomErase(**options)


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_channels_move_together(transform):
    channels = np.stack([IMAGES, IMAGES + 1], axis=1)
    changed = transform(channels, np.random.default_rng(3))
    for channel in (0, 1):
        alone = transform(channels[:, channel], np.random.default_rng(3))
        np.testing.assert_array_equal(changed[:, channel], alone, strict=True)


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_the_result_is_new_and_of_the_same_dtype(transform):
    for images in (IMAGES, IMAGES.astype(np.float32)):
        before = images.copy()
        images.flags.writeable = False
        changed = transform(images, np.random.default_rng(0))
        assert changed.dtype == images.dtype
        assert changed.flags.c_contiguous
        assert not np.shares_memory(changed, images)
        images.flags.writeable = True
        np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("make", [lambda s: RandomShift(2, seed=s), lambda s: RandomFlip(seed=s)])
def test_an_own_seed_gives_the_same_bits_and_goes_on(make):
    one, other = make(5), make(5)
    first = one(IMAGES)
    np.testing.assert_array_equal(first, other(IMAGES))
    assert not np.array_equal(first, one(IMAGES))


def test_compose_is_one_after_the_other():
    rng = np.random.default_rng(4)
    expected = RandomFlip()(RandomShift(1)(IMAGES, rng), rng)
    found = Compose(RandomShift(1), RandomFlip())(IMAGES, np.random.default_rng(4))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(Compose()(IMAGES), IMAGES)
    assert repr(Compose(RandomFlip(1))) == "Compose(RandomFlip(1.0))"


def loader(**options):
    given = {"batch_size": 64, "transform": RandomShift(2), "seed": 3} | options
    return Loader(IMAGES, np.arange(len(IMAGES)), **given)


def test_a_loader_transforms_scaled_images_before_it_flattens():
    seen = []

    def watch(images, rng):
        seen.append((images.shape, images.dtype, images.max() <= 1, type(rng)))
        return images.astype(np.float64)[:, :2]

    x, _ = next(iter(loader(transform=watch)))
    assert seen == [((64, 5, 4), np.float32, True, np.random.Generator)]
    assert (x.shape, x.dtype) == ((64, 8), np.float32)
    assert next(iter(loader(flatten=False)))[0].shape == (64, 5, 4)


def test_a_batch_depends_on_seed_epoch_and_number_alone():
    one = loader()
    epochs = [[x for x, _ in one] for _ in range(2)]
    later = loader()
    later.epoch = 1
    iterator = iter(later)
    next(iterator)
    np.testing.assert_array_equal(next(iterator)[0], epochs[1][1])
    assert not np.array_equal(next(iter(loader(seed=4)))[0], epochs[0][0])
    plain = loader(transform=lambda images, rng: rng.random((len(images), 2)), shuffle=False)
    drawn = np.concatenate([x for _ in range(2) for x, _ in plain])
    assert len(np.unique(drawn)) == drawn.size  # no two batches draw the same


def test_a_transform_leaves_the_order_of_the_examples_alone():
    for (_, y), (_, plain) in zip(loader(), loader(transform=None), strict=True):
        np.testing.assert_array_equal(y, plain)
