"""The matrix library: which it is, by what can be asked."""

import numpy as np
import pytest

from tinygrad_fm import threads


class Loaded:
    internal_api, version, num_threads = "blis", "1.0", 3


@pytest.mark.parametrize(
    ("built_with", "loaded", "expected"),
    [
        ({"name": "scipy-openblas", "version": "0.3.31"}, [], ("openblas", "0.3.31")),
        ({"name": "mkl-sdl", "version": "2026.2"}, [Loaded], ("mkl", "2026.2")),  # not NumPy's
        ({"name": "blas", "version": "3.9.0"}, [Loaded], ("blis", "1.0")),  # any will do
        ({"name": "accelerate"}, [Loaded], ("accelerate", "")),
        ({"name": "blas"}, [], ("blas", "")),
        ({}, [Loaded], ("unknown", "")),
        (None, [], ("unknown", "")),
    ],
)
def test_the_matrix_library_is_numpys_own(monkeypatch, built_with, loaded, expected):
    monkeypatch.setattr(threads, "_libraries", lambda: loaded)
    monkeypatch.setattr(
        np, "show_config", lambda mode: {"Build Dependencies": {"blas": built_with}}
    )
    assert threads.library.__wrapped__() == expected


def test_every_library_says_how_many_threads_it_uses(monkeypatch):
    monkeypatch.setattr(threads, "_libraries", lambda: [Loaded, Loaded])
    assert threads.counts() == [3, 3]


class Settable:
    def __init__(self, num_threads):
        self.num_threads = num_threads

    def set_num_threads(self, number):
        self.num_threads = number


def test_while_threads_share_each_library_has_one_and_then_what_it_had(monkeypatch):
    libraries = [Settable(2), Settable(4), Settable(None)]
    monkeypatch.setattr(threads, "_libraries", lambda: libraries)
    seen = []

    def look(_):
        seen.append((threads.counts(), threads.count()))

    threads.share_products(look, [(0,), (1,)])
    assert seen == [([1, 1], 1)] * 2  # who does a part has no threads to share it with
    with threads.one_each():
        assert (threads.counts(), threads.count()) == ([1, 1], 2)
        with pytest.raises(ZeroDivisionError):
            threads.share_products(lambda x: 1 / x, [(1,), (0,)])
        assert (threads.counts(), threads.count()) == ([1, 1], 2)
    assert (threads.counts(), threads.count()) == ([2, 4], 2)


def test_products_are_shared_where_that_is_worth_it_and_the_library_can_be_told(monkeypatch):
    monkeypatch.setattr(threads, "_libraries", lambda: [Settable(4)])
    worth = threads.WORTH
    assert [threads.several(k * worth) for k in (0, 1, 2, 3, 9)] == [1, 1, 2, 3, 4]
    monkeypatch.setattr(threads, "_libraries", lambda: [Settable(1)])
    assert threads.several(9 * worth) == 1  # as many as it has now
    monkeypatch.setattr(threads, "_libraries", list)
    assert threads.several(9 * worth) == 1


def test_what_threads_return_is_in_order():
    assert threads.share(lambda x: x * x, [(i,) for i in range(5)]) == [0, 1, 4, 9, 16]
    assert threads.share(lambda x: x, [(1,)]) == [1]


@pytest.mark.parametrize(
    ("length", "count", "expected"), [(7, 2, [3, 4]), (2, 5, [1, 1]), (0, 2, [0]), (6, 1, [6])]
)
def test_spans_cover_a_length(length, count, expected):
    found = threads.spans(length, count)
    assert [s.stop - s.start for s in found] == expected
    assert [i for s in found for i in range(length)[s]] == list(range(length))


def test_a_thread_ignores_what_is_to_be_ignored():
    def divide(x):
        return float(np.float64(1) / np.float64(x))

    with np.errstate(divide="ignore"):
        assert threads.share(divide, [(1,), (0,), (0,)]) == [1, np.inf, np.inf]
