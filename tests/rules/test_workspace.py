"""Memory that is kept from call to call: whose it is, how much, and for how long."""

import threading

import numpy as np
import pytest

from tinygrad_fm.rules import workspace
from tinygrad_fm.rules.workspace import scratch

FLOAT, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch):
    monkeypatch.setattr(workspace, "_kept", workspace._Kept())


def test_arrays_begin_on_a_line_of_the_cache_and_do_not_overlap():
    arrays = scratch(FLOAT, (3, 5), (1,), (7, 2))
    assert [a.shape for a in arrays] == [(3, 5), (1,), (7, 2)]
    assert {a.ctypes.data % workspace.LINE for a in arrays} == {0}
    for i, array in enumerate(arrays):
        array[...] = i
    assert all((array == i).all() for i, array in enumerate(arrays))


def test_the_same_shapes_have_the_same_arrays_of_their_dtype():
    (a,) = scratch(FLOAT, (3, 5))
    assert scratch(FLOAT, (3, 5))[0] is a
    (b,) = scratch(DOUBLE, (3, 5))
    assert (b.dtype, scratch(FLOAT, (5, 3))[0].shape) == (DOUBLE, (5, 3))


def test_larger_arrays_leave_nothing_of_the_memory_before():
    (small,) = scratch(FLOAT, (3,))
    (large,) = scratch(FLOAT, (3000,))
    assert np.may_share_memory(scratch(FLOAT, (3,))[0], large)
    assert not np.may_share_memory(small, large)


def test_parts_and_threads_have_memory_of_their_own():
    (mine,), (other,), theirs = scratch(FLOAT, (3,)), scratch(FLOAT, (3,), part=1), []
    thread = threading.Thread(target=lambda: theirs.extend(scratch(FLOAT, (3,))))
    thread.start()
    thread.join()
    assert not np.may_share_memory(mine, other)
    assert not np.may_share_memory(mine, theirs[0])


def test_neither_more_memory_nor_more_arrays_are_kept_than_may_be(monkeypatch):
    monkeypatch.setattr(workspace, "KEPT", 1000)
    monkeypatch.setattr(workspace, "SHAPES", 4)
    (large,) = scratch(FLOAT, (300,))
    assert scratch(FLOAT, (300,))[0] is not large
    for n in range(1, 20):
        scratch(FLOAT, (n,))
    (kept,) = workspace._kept.parts.values()
    assert len(kept.bytes) <= 1000
    assert len(kept.arrays) <= 4
