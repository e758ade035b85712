"""The matrix library: which it is, by what can be asked."""

import numpy as np
import pytest

from tinygrad_fm import threads


@pytest.mark.parametrize(
    ("built_with", "expected"),
    [
        ({"name": "scipy-openblas", "version": "0.3.31"}, ("openblas", "0.3.31")),
        ({"name": "mkl-sdl", "version": "2026.2"}, ("mkl", "2026.2")),
        ({"name": "accelerate"}, ("accelerate", "")),
        ({}, ("unknown", "")),
    ],
)
def test_without_threadpoolctl_numpy_says_what_it_was_built_with(monkeypatch, built_with, expected):
    monkeypatch.setattr(threads, "_libraries", list)
    monkeypatch.setattr(
        np, "show_config", lambda mode: {"Build Dependencies": {"blas": built_with}}
    )
    assert threads._built_with.__wrapped__() == expected


def test_what_is_loaded_counts_more_than_what_numpy_was_built_with(monkeypatch):
    class Loaded:
        internal_api, version, num_threads = "mkl", None, 3

    monkeypatch.setattr(threads, "_libraries", lambda: [Loaded])
    assert threads.library() == ("mkl", "")
    assert threads.counts() == [3]
