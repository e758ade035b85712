"""The matrix library, the threads it uses, and those that share its products."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import nn, optim, threads, train
from tinygrad_fm.train.threads import one_blas_thread


@pytest.fixture(autouse=True)
def as_in_a_process_of_its_own(monkeypatch):
    """Other tests of this process may be within `one_each`."""
    for name, value in (
        ("_users", 0),
        ("_before", []),
        ("_alone_in", []),
        ("_here", threads._Here()),
    ):
        monkeypatch.setattr(threads, name, value)


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
    internal_api = "openblas"

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
    assert threads.share(lambda x: x, iter([])) == []


@pytest.mark.parametrize(
    ("length", "count", "expected"), [(7, 2, [3, 4]), (2, 5, [1, 1]), (0, 2, [0]), (6, 1, [6])]
)
def test_spans_cover_a_length(length, count, expected):
    found = threads.spans(length, count)
    assert [s.stop - s.start for s in found] == expected
    assert [i for s in found for i in range(length)[s]] == list(range(length))


def test_a_length_is_shared_where_that_is_worth_it(monkeypatch):
    worth, done = threads.WORTH_COPYING, []
    monkeypatch.setattr(threads, "_libraries", lambda: [Settable(4)])
    for numbers, parts in (
        (0, 1),
        (2 * worth - 1, 1),
        (2 * worth, 2),
        (3 * worth, 3),
        (1 << 40, 4),
    ):
        done.clear()
        threads.share_spans(done.append, 12, numbers)
        assert len(done) == parts
        assert sorted(i for s in done for i in range(12)[s]) == list(range(12))
    monkeypatch.setattr(threads, "_libraries", list)
    done.clear()
    threads.share_spans(done.append, 12, 1 << 40)
    assert done == [slice(0, 12)]


def test_what_shares_a_length_shares_nothing_once_more(monkeypatch):
    monkeypatch.setattr(threads, "_libraries", lambda: [Settable(4)])
    seen = []
    threads.share_spans(lambda s: seen.append(threads.count()), 3, 1 << 40)
    assert seen == [1, 1, 1]
    assert threads.count() == 4


def test_the_number_of_threads_is_never_that_of_a_library_that_is_told_to_use_one(monkeypatch):
    seen = []

    class Watched(Settable):
        def set_num_threads(self, number):
            seen.append(threads.count())
            super().set_num_threads(number)
            seen.append(threads.count())

    libraries = [Watched(2)]
    monkeypatch.setattr(threads, "_libraries", lambda: libraries)
    with threads.one_each():
        pass
    assert seen == [2, 2, 2, 2]


def test_a_thread_ignores_what_is_to_be_ignored():
    def divide(x):
        return float(np.float64(1) / np.float64(x))

    with np.errstate(divide="ignore"):
        assert threads.share(divide, [(1,), (0,), (0,)]) == [1, np.inf, np.inf]


def in_a_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def test_any_thread_may_have_the_library_use_one():
    before = threads.counts()
    if not before:
        pytest.skip("threadpoolctl, the extra `threads`, is not installed")

    def inside():
        with threads.one_each():
            return threads.counts()

    with threads.one_each():  # here first
        assert set(threads.counts()) == {1}
        assert set(in_a_thread(inside)) == {1}
    assert set(in_a_thread(inside)) == {1}
    assert threads.counts() == in_a_thread(threads.counts) == before


def test_threads_of_an_interpreter_that_is_ending_do_it_themselves():
    program = """
import threading, time
from tinygrad_fm import threads
def late():
    time.sleep(0.3)
    print(threads.share(lambda x: x * x, [(i,) for i in range(4)]), flush=True)
threading.Thread(target=late).start()
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert (run.stdout, run.stderr) == ("[0, 1, 4, 9]\n", "")


def test_an_error_waits_for_the_others():
    done = []

    def work(i):
        if i == 1:
            raise ZeroDivisionError
        time.sleep(0.05 * i)
        done.append(i)

    with pytest.raises(ZeroDivisionError):
        threads.share(work, [(i,) for i in range(4)])
    assert sorted(done) == [0, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process where the system has fork")
def test_a_child_is_not_within_what_another_thread_of_its_parent_is():
    program = """
import os, threading, warnings
from tinygrad_fm import threads
inside, leave = threading.Event(), threading.Event()
def hold():
    with threads.one_each():
        inside.set()
        leave.wait()
before = threads.counts()
thread = threading.Thread(target=hold)
thread.start()
inside.wait()
warnings.simplefilter("ignore")  # forking beside threads
child = os.fork()
if not child:
    with threads.one_each():
        pass
    os._exit(threads._users != 0 or threads.counts() != before)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
leave.set()
print(status)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "0\n"


def test_whether_the_library_is_alone_is_asked_once_and_can_be_told(monkeypatch):
    library = Settable(3)
    monkeypatch.setattr(threads, "_libraries", lambda: [library])
    threads._at_first.cache_clear()
    try:
        with threads.one_each():
            assert not threads.alone()
        library.num_threads = 1
        assert not threads.alone()  # the same products as before
        with threads.alone_in():
            assert threads.alone()
        assert not threads.alone()
    finally:
        threads._at_first.cache_clear()


def test_who_leaves_first_does_not_tell_the_other(monkeypatch):
    library = Settable(3)
    monkeypatch.setattr(threads, "_libraries", lambda: [library])
    threads._at_first.cache_clear()
    first, second = threads.alone_in(), threads.alone_in()  # of two threads
    try:
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert threads.alone()
        second.__exit__(None, None, None)
        assert not threads.alone()
    finally:
        threads._at_first.cache_clear()


# ---- while training ------------------------------------------------------------------------------


@pytest.fixture
def nobody_has_chosen(monkeypatch):
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("number", "words"), [(4, "1 for a product, 4 for large layers"), (1, "1")]
)
def test_a_product_has_one_thread_and_large_layers_have_as_many_as_before(
    number, words, monkeypatch, nobody_has_chosen
):
    library = Settable(number)
    monkeypatch.setattr(threads, "_libraries", lambda: [library])
    with one_blas_thread() as said:
        assert said == words
        assert (library.num_threads, threads.count(), threads.alone()) == (1, number, True)
    assert library.num_threads == number


def test_who_has_chosen_a_number_gets_it(monkeypatch, nobody_has_chosen):
    library = Settable(3)
    monkeypatch.setattr(threads, "_libraries", lambda: [library])
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    with one_blas_thread() as said:
        assert said == "as MKL_NUM_THREADS=3 says"
        assert library.num_threads == 3


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch, nobody_has_chosen):
    monkeypatch.setattr(threads, "_libraries", list)
    with one_blas_thread() as said:
        assert 'pip install "tinygrad_fm[threads]"' in said


def test_fit_holds_the_library_to_one_thread(monkeypatch, nobody_has_chosen):
    library, seen = Settable(4), []
    monkeypatch.setattr(threads, "_libraries", lambda: [library])

    class Look(train.Callback):
        def on_batch_end(self, state):
            seen.append((library.num_threads, threads.count()))

    model = nn.Linear(3, 2, rng=0)
    batches = [(np.ones((4, 3), np.float32), np.zeros(4, int))] * 3
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss = nn.CrossEntropyLoss()
    train.fit(model, loss, optimizer, batches, epochs=1, callbacks=[Look()], progress=False)
    assert seen == [(1, 4)] * 3
    assert library.num_threads == 4


def test_where_the_library_has_one_thread_ours_share_large_products(monkeypatch, nobody_has_chosen):
    monkeypatch.setattr(threads, "_libraries", lambda: [Settable(4)])
    draw = np.random.default_rng(0).standard_normal
    small, large = draw((4, 5)), draw((400, 600))
    step = tg.compile(lambda a, b: (a @ a.T, b @ b.T))
    with one_blas_thread():
        for _ in range(3):
            products = step(small, large)
    assert "np.dot(a, " in step.source
    assert "by_threads(b, " in step.source
    for found, of in zip(products, (small, large), strict=True):
        np.testing.assert_allclose(found.data, of @ of.T, atol=1e-9)
