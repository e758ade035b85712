"""Bad configurations, one a line: what is passed, and the error that says what was expected.

Those of files are beside the tests of their formats.
"""

import numpy as np
import pytest

from tinygrad_fm.data import (
    Compose,
    DataError,
    Loader,
    Prefetch,
    RandomBatches,
    RandomCrop,
    RandomFlip,
    RandomShift,
    ZScore,
    one_hot,
)

X = np.zeros((10, 3, 2), np.uint8)
Y = np.arange(10)
NAN = np.full((10, 2), np.nan)
RNG = np.random.default_rng(0)
TRANSFORM = "expected 4 floating images"


def loader(images=X, labels=Y, batch_size=4, **options):
    return Loader(images, labels, batch_size=batch_size, **options)


def drawn(images=X, labels=Y, batch_size=4, steps=2, rng=RNG, **options):
    return RandomBatches(images, labels, batch_size=batch_size, steps=steps, rng=rng, **options)


def first(transform):
    return next(iter(loader(transform=transform)))


@pytest.mark.parametrize("make", [loader, drawn])
@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"images": X[:0], "labels": Y[:0]}, DataError, "got images .* with at least one example"),
        ({"labels": Y[:9]}, DataError, "got 10 images but 9 labels; expected one label"),
        ({"batch_size": 11}, DataError, "batch_size 11 is larger than the 10 examples"),
        ({"batch_size": 0}, DataError, "batch_size is 0; expected a whole number, at least 1"),
        ({"images": NAN}, DataError, r"got images that contain nan at index \(0, 0\)"),
        ({"labels": NAN}, DataError, "got labels that contain nan"),
        ({"scale": np.inf}, DataError, "scale is inf; expected a finite number"),
        ({"images": NAN, "dtype": float}, DataError, "nan .*that float64 can hold"),
        ({"images": X.astype(int)}, DataError, "got images of int64; expected uint8"),
        ({"labels": Y.astype(str)}, DataError, "got labels of <U.*; expected integers"),
        ({"dtype": int}, DataError, "got dtype=int64; expected a floating one"),
        ({"classes": 9}, DataError, r"the label 9 at index \(9\); expected 0 to 8, for classes=9"),
        (
            {"labels": Y - 1, "classes": 10},
            DataError,
            r"the label -1 at index \(0\); expected 0 to",
        ),
        ({"labels": one_hot(Y), "classes": 9}, DataError, r"expected one-hot rows \(N, 9\)"),
        ({"classes": 0}, DataError, "classes is 0; expected a whole number, at least 1"),
        ({"classes": 2.0}, TypeError, "classes is 2.0"),
    ],
)
def test_both_batchers_refuse(make, changed, error, message):
    name = "Loader" if make is loader else "RandomBatches"
    with pytest.raises(error, match=message) as caught:
        make(**changed)
    assert name in str(caught.value) or "batch_size 11" in str(caught.value)


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    [
        (lambda: drawn(steps=0), DataError, "steps is 0; expected a whole number, at least 1"),
        (lambda: drawn(rng=0), TypeError, "rng is 0; expected a generator, for example"),
        (lambda: loader(transform=3), TypeError, "transform is 3; expected a function of"),
        (lambda: first(lambda x, rng: x[1:]), DataError, r"of shape \(3, 3, 2\); " + TRANSFORM),
        (lambda: first(lambda x, rng: None), DataError, TRANSFORM),
        (lambda: first(lambda x, rng: x > 0), DataError, "returned bool .*" + TRANSFORM),
        (lambda: first(RandomCrop(4)), DataError, "4x4 got images of 3x2, with padding 0 3x2"),
        (lambda: RandomShift(1)(X), DataError, r"no generator; write RandomShift\(..., seed=0\)"),
        (lambda: RandomFlip(seed=0)(X[0]), DataError, r"shape \(3, 2\); expected \(B, height"),
        (lambda: RandomShift(-1), DataError, "pixels is -1"),
        (lambda: RandomShift(0.5), TypeError, "pixels is 0.5"),
        (lambda: RandomShift(1, seed=-1), DataError, "RandomShift: seed is -1"),
        (lambda: RandomCrop(0), DataError, "size is 0"),
        (lambda: RandomCrop(2, -1), DataError, "padding is -1"),
        (lambda: RandomFlip(1.5), DataError, "probability is 1.5; expected a number from 0 to 1"),
        (lambda: RandomFlip(np.nan), DataError, "probability is nan"),
        (lambda: Compose(RandomFlip(), 3), TypeError, "Compose got 3; expected functions"),
        (lambda: ZScore("pixels"), DataError, "mode is 'pixels'; expected one of 'pixel', 'image'"),
        (lambda: ZScore(dtype=int), DataError, "to int64; expected a floating dtype"),
        (lambda: ZScore()(X), DataError, r'ZScore\("pixel"\) was called before fit\(\); fit it on'),
        (lambda: ZScore("global")(X), DataError, "before fit"),
        (lambda: ZScore().fit(X)(X[:, 1:]), DataError, r"shape \(3, 2\) but .*\(N, 3, 2\)"),
        (lambda: ZScore().fit(X[:0]), DataError, "at least one example"),
        (lambda: ZScore("image")(Y / 1), DataError, r"shape \(10,\); expected \(N, ...\)"),
        (lambda: ZScore().fit(NAN), DataError, r"got x that contain nan at index \(0, 0\)"),
        (lambda: ZScore("image")(NAN), DataError, "got x that contain nan"),
        (lambda: ZScore().fit(X.astype(int)), DataError, "got x of int64; expected uint8"),
        (lambda: Prefetch(3), TypeError, "Prefetch got a int; expected a data.Loader"),
        (lambda: Prefetch([], 0), DataError, "depth is 0; expected a whole number, at least 1"),
    ],
)
def test_a_bad_configuration_is_refused(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt()
