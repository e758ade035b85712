"""Threads while training, in words and in deed."""

import pytest

from tinygrad_fm import threads
from tinygrad_fm.train.threads import one_blas_thread


class Library:
    internal_api = "openblas"

    def __init__(self, num_threads):
        self.num_threads = num_threads

    def set_num_threads(self, number):
        self.num_threads = number


@pytest.fixture(autouse=True)
def nobody_has_chosen(monkeypatch):
    for name, value in (
        ("_users", 0),
        ("_before", []),
        ("_told", None),
        ("_here", threads._Here()),
    ):
        monkeypatch.setattr(threads, name, value)  # as in a process of its own
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("number", "words"), [(4, "1 for a product, 4 for large layers"), (1, "1")]
)
def test_a_product_has_one_thread_and_large_layers_have_as_many_as_before(
    number, words, monkeypatch
):
    library = Library(number)
    monkeypatch.setattr(threads, "_libraries", lambda: [library])
    with one_blas_thread() as said:
        assert said == words
        assert (library.num_threads, threads.count(), threads.alone()) == (1, number, True)
    assert library.num_threads == number


def test_who_has_chosen_a_number_gets_it(monkeypatch):
    library = Library(3)
    monkeypatch.setattr(threads, "_libraries", lambda: [library])
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    with one_blas_thread() as said:
        assert said == "as MKL_NUM_THREADS=3 says"
        assert library.num_threads == 3


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(threads, "_libraries", list)
    with one_blas_thread() as said:
        assert 'pip install "tinygrad_fm[threads]"' in said
