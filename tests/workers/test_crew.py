"""Workers make the calls that they are handed, once each, and nothing waits for them in vain."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tinygrad_fm import fast, threads

pytest.importorskip("numba", reason="needs numba, the extra `fast`")

from tinygrad_fm.workers import crew
from tinygrad_fm.workers.mail import MADE

TEXT = """
def add(x, value):
    for i in range(len(x)):
        x[i] += value


def positive(x, y):
    for i in range(len(x)):
        y[i] += 1
        if not x[i] > 0:
            return False
    return True


def inverse(x, pair):
    x[0] += pair[0][0]
    x[1] = 1 // pair[1]


def refuse(x):
    x[0] += 1
    raise ValueError("refused")
"""
READ, ARRAY, WHOLE = (
    ("float64", 1, "C", True),
    ("float64", 1, "C", False),
    ("int64", 0, "C", True),
)
add, positive, inverse, refuse = fast.functions(
    TEXT,
    {
        "add": (ARRAY, ("float64", 0, "C", True)),
        "positive": (READ, ARRAY),
        "inverse": (ARRAY, (READ, WHOLE)),
        "refuse": (ARRAY,),
    },
)


@pytest.fixture
def worker(monkeypatch):
    """The only one, of this test alone."""
    one = crew.Worker()
    monkeypatch.setattr(crew, "_crew", lambda process: [one])
    return one


def test_each_call_is_made_once_by_one_thread_or_another(worker):
    draw = np.random.default_rng(0)
    arrays = np.zeros((4, 3))
    for turn in range(3000):
        if draw.random() < 0.01:
            time.sleep(draw.random() / 100)  # after which the worker is asleep
        assert crew.share([[(add, (a, float(i)))] * 2 for i, a in enumerate(arrays)])
        np.testing.assert_array_equal(arrays, 2.0 * (turn + 1) * np.arange(4)[:, None] + [0] * 3)


def test_it_is_the_worker_who_makes_them(worker):
    long, x = np.zeros(10_000_000), np.zeros(1)
    assert worker.hand([(add, (x, 1.0))])
    add(long, 1.0)  # meanwhile, even if it was asleep
    assert worker.collect() == (MADE, [])
    assert x == 1


def test_a_work_ends_with_a_call_that_returns_false(worker):
    good, bad, seen = np.ones(3), -np.ones(3), np.zeros((4, 3))
    for _ in range(20):
        works = [
            [(positive, (good, seen[0]))],
            [(positive, (x, y)) for x, y in zip((good, bad, good), seen[1:], strict=True)],
        ]
        assert not crew.share(works)
        assert not crew.share(works[::-1])
    np.testing.assert_array_equal(seen[:, 0], [40, 40, 40, 0])
    assert crew.share(works[:1])


def test_an_error_of_a_call_is_raised(worker):
    for _ in range(20):
        x, y = np.zeros(2), np.zeros(2)  # the error comes from here, where the call is made again
        with pytest.raises(ValueError, match="refused"):
            crew.share([[(add, (x, 1.0))], [(add, (x[1:], 1.0)), (refuse, (y,))]])
        np.testing.assert_array_equal(x, [1, 2])  # what was made before is not made again


def test_arguments_may_be_tuples(worker):
    x, y = np.zeros(2), np.zeros(2)
    for _ in range(20):
        assert crew.share([[(inverse, (x, (np.ones(1), 1)))], [(inverse, (y, (np.ones(1), 1)))]])
    np.testing.assert_array_equal([x, y], [[20, 1], [20, 1]])


def test_functions_of_one_text_that_know_different_numbers(worker):
    numba = pytest.importorskip("numba")

    def adding(number):
        def add(x):
            x[0] += number

        made = numba.njit(add, nogil=True)
        made.compile((numba.float64[::1],))
        made.disable_compile()
        return made

    for number in range(1, 4):
        x, y, function = np.zeros(1), np.zeros(1), adding(number)
        assert worker.hand([(function, (x,))])
        time.sleep(0.05)
        crew.share([[(function, (y,))]])
        assert worker.collect()[1] == []
        assert (x, y) == (number, number)


def test_calls_that_are_too_many_are_made_here(worker):
    x = np.zeros(1)
    for _ in range(3):
        assert crew.share([[(add, (x, 1.0))], [(add, (np.zeros(1), 1.0))] * crew.WORDS])
    assert worker.hand([(add, (x, 1.0))])  # it is not taken by those
    worker.collect()


def test_two_threads_do_not_hand_over_to_one_worker_at_once(worker):
    arrays = np.zeros((4, 3))
    wrong = []

    def work(some):
        for turn in range(500):
            crew.share([[(add, (a, 1.0))] for a in some])
            if not (some == turn + 1).all():
                wrong.append(turn)

    both = [threading.Thread(target=work, args=(some,)) for some in (arrays[:2], arrays[2:])]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert wrong == []


def test_an_error_here_waits_for_the_worker(worker):
    def fail():
        raise KeyboardInterrupt

    x, given = np.zeros(1000), []
    collect = worker.collect
    worker.collect = lambda: given.append(collect()) or given[-1]
    for turn in range(20):
        with pytest.raises(KeyboardInterrupt):
            crew.share([[(fail, ())], [(add, (x, 1.0))]])
        assert len(given) == turn + 1
        before = x.copy()
        time.sleep(0.001)
        np.testing.assert_array_equal(x, before)
        assert x[0] <= turn + 1


def test_without_workers_one_thread_makes_all_calls(monkeypatch):
    def refuse():
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(crew, "Worker", refuse)
    monkeypatch.setattr(threads, "cpus", lambda: 3)
    crew._crew.cache_clear()
    x = np.zeros((3, 2))
    with pytest.warns(RuntimeWarning, match="can't start new thread"):
        assert crew.share([[(add, (row, 1.0))] for row in x])
    assert crew.share([[(add, (row, 1.0))] for row in x])
    np.testing.assert_array_equal(x, 2)
    crew._crew.cache_clear()


FORK = """
import os, sys, warnings
import numpy as np
sys.path.insert(0, {folder!r})
from test_crew import add, crew
warnings.simplefilter("ignore")  # forking beside threads
x = np.zeros((2, 3))
crew.share([[(add, (row, 1.0))] for row in x])
if os.fork() == 0:
    for _ in range(100):
        crew.share([[(add, (row, 1.0))] for row in x])
    print(x.sum(), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process where the system has fork")
def test_a_forked_process_has_workers_of_its_own():
    program = FORK.format(folder=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("606.0\n", 0), done.stderr
