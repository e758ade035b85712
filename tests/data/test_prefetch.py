"""The prefetcher: the same batches in the same order, errors that arrive, threads that end."""

import gc
import threading
import traceback

import numpy as np
import pytest

from tinygrad_fm.data import Loader, Prefetch, RandomShift

IMAGES = np.random.default_rng(0).integers(0, 256, (100, 6, 5), dtype=np.uint8)
LABELS = np.arange(100)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def loader():
    return Loader(IMAGES, LABELS, batch_size=8, seed=3, transform=RandomShift(1))


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_the_batches_are_the_loaders_bit_for_bit(depth):
    plain, ahead = loader(), Prefetch(loader(), depth)
    assert len(ahead) == len(plain)
    for _ in range(3):
        for (x, y), (x2, y2) in zip(plain, ahead, strict=True):
            np.testing.assert_array_equal(x, x2, strict=True)
            np.testing.assert_array_equal(y, y2, strict=True)
    assert ahead.epoch == plain.epoch == 3


def test_an_epoch_can_be_set():
    ahead, plain = Prefetch(loader()), loader()
    ahead.epoch = plain.epoch = 4
    np.testing.assert_array_equal(next(iter(ahead))[1], next(iter(plain))[1])


def test_an_error_arrives_after_the_batches_before_it():
    def batches():
        yield 1
        yield 2
        raise KeyError("spoiled")

    iterator = iter(Prefetch(Source(batches)))
    assert [next(iterator), next(iterator)] == [1, 2]
    with pytest.raises(KeyError, match="spoiled") as caught:
        next(iterator)
    assert "in batches" in "".join(traceback.format_tb(caught.tb))


class Source:
    """A loader made of a generator function."""

    def __init__(self, function):
        self.function = function

    def __iter__(self):
        return self.function()


def test_a_left_iteration_ends_its_thread_and_the_source():
    closed = threading.Event()

    def batches():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    for _ in Prefetch(Source(batches)):
        break
    gc.collect()
    assert closed.wait(5)


def test_an_error_of_the_consumer_ends_the_thread():
    def consume():
        for _ in Prefetch(loader()):
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        consume()
    gc.collect()


def test_an_iteration_that_is_never_asked_starts_no_thread():
    before = threading.active_count()
    iterator = iter(Prefetch(loader()))
    assert threading.active_count() == before
    del iterator


def test_no_more_than_depth_batches_are_made_ahead():
    made = []
    full = threading.Event()

    def batches():
        for number in range(20):
            made.append(number)
            if number == 3:
                full.set()
            yield number

    iterator = iter(Prefetch(Source(batches), depth=3))
    assert next(iterator) == 0
    assert full.wait(5)
    assert made == [0, 1, 2, 3]  # one was taken, three wait, and the next is not begun
    assert list(iterator) == list(range(1, 20))


def test_the_thread_sees_the_callers_errstate():
    def batches():
        yield np.float32(1) / np.float32(0)

    with np.errstate(divide="ignore"):
        assert list(Prefetch(Source(batches))) == [np.inf]


def test_a_loader_without_length_or_epoch_has_none():
    with pytest.raises(TypeError, match="the loader, a Source, has no length"):
        len(Prefetch(Source(lambda: iter([1]))))
    with pytest.raises(AttributeError, match="epoch"):
        _ = Prefetch([1]).epoch
    assert repr(Prefetch([1])) == "<Prefetch, 2 ahead, of [1]>"
