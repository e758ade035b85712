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
