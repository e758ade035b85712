"""Convolutions by the loops that Numba compiles: the numbers of NumPy's ways, and when they are."""

import functools
import io
import itertools
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tinygrad_fm import fast, functional, threads
from tinygrad_fm.rules import (
    columns,
    compiled_columns,
    compiled_fourier,
    compiled_tiles,
    convolution,
    fourier,
    gemm,
    loops,
    tile_loops,
    toom_cook,
    workspace,
)
from tinygrad_fm.rules.plan import Plan

pytestmark = pytest.mark.skipif(
    not loops.there_are("<f8"), reason=f"no loops: {fast.why_not() or 'no product is found'}"
)
WAYS = {
    "im2col": (compiled_columns, columns),
    "dft": (compiled_fourier, fourier),
    "tiles": (compiled_tiles, toom_cook),
}
pair = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def plans(draw, way):
    size, padding = draw(pair(1, 15)), draw(pair(0, 6))
    kernel, stride, dilation = draw(pair(1, 5)), (1, 1), (1, 1)
    if way == "tiles":
        kernel = (draw(st.integers(2, 5)),) * 2
    else:
        stride, dilation = draw(pair(1, 3)) if way == "im2col" else (1, 1), draw(pair(1, 3))
    out = tuple(
        (s + 2 * p - (k - 1) * d - 1) // t + 1
        for s, p, k, d, t in zip(size, padding, kernel, dilation, stride, strict=True)
    )
    assume(min(out) > 0)
    return Plan(way, size, kernel, padding, out, stride, dilation)


def arrays_of(plan, n, c, o, dtype=np.float64):
    """Images, kernels, biases and a gradient, in the orders in which they are computed with."""
    draw = np.random.default_rng(0).standard_normal
    shapes = (*plan.image, n, c), (*plan.kernel, c, o), (o,), (*plan.out, n, o)
    return [draw(shape).astype(dtype) for shape in shapes]


def three_products(way, plan, x, w, b, g):
    yield way.convolve(x, w, b, plan)
    yield way.convolve(x, w, None, plan)
    yield way.input_gradient(g, w, plan)
    yield way.weight_gradient(x, g, plan)


def test_threads_share_kernels_where_there_are_fewer_windows(monkeypatch):
    plan = Plan("im2col", (3, 2), (3, 2), (0, 0), (1, 1))
    x, w, b, _ = arrays_of(plan, 1, 5, 40)
    monkeypatch.setattr(threads, "several", lambda multiplications, worth=0: 3)
    assert [p[:2] for p, _ in compiled_columns._parts(plan, 1, 5, 40, 3)][-1][1] == 40
    found, expected = (way.convolve(x, w, b, plan) for way in (compiled_columns, columns))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
@given(data=st.data(), nco=st.tuples(*[st.integers(1, 40)] * 3), count=st.integers(1, 4))
def test_the_numbers_are_those_of_numpys_way(way, data, nco, count):
    plan = data.draw(plans(way))
    if data.draw(st.booleans()):
        nco = nco[0], 1, nco[2]
    arrays = arrays_of(plan, *nco)
    by_loops, by_numpy = (list(three_products(module, plan, *arrays)) for module in WAYS[way])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "several", lambda multiplications, worth=0: count)
        shared = list(three_products(WAYS[way][0], plan, *arrays))
    for found, again, expected in zip(by_loops, shared, by_numpy, strict=True):
        scale = 1e-12 * max(1, abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=0, atol=scale)
        np.testing.assert_allclose(again, expected, rtol=0, atol=scale)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(1, 9, 130, 70), (70, 9, 5, 3), (3, 5, 200, 140)])
def test_many_channels_or_images_in_float32(way, shape):
    n, size, c, o = shape
    plan = Plan(way, (size, size), (3, 3), (1, 1), (size, size))
    arrays = arrays_of(plan, n, c, o, np.float32)
    exact = list(three_products(columns, plan, *(a.astype(np.float64) for a in arrays)))
    for found, expected in zip(three_products(WAYS[way][0], plan, *arrays), exact, strict=True):
        assert found.dtype == np.float32
        assert abs(found - expected).max() <= 2e-5 * abs(expected).max()


@given(
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 3),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.data(),
)
def test_kernels_are_turned_around(dtype, size, counts, data):
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, counts[0])] * 2)))
    weight = np.random.default_rng(0).standard_normal((size, size, *counts)).astype(dtype)
    expected = weight[::-1, ::-1, first:last].swapaxes(2, 3)
    out = np.full(expected.size + 1, np.nan, dtype)
    do = compiled_tiles._loops(weight.dtype)
    do.turn_kernels(weight.reshape(-1), size, counts, (first, last), out)
    np.testing.assert_array_equal(out[:-1].reshape(expected.shape), expected)
    assert np.isnan(out[-1])


@pytest.mark.parametrize("place", [(0, 0), (3, 2), (12, 13)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("way", ["dft", "tiles"])
def test_they_tell_what_is_not_finite(way, place, value, count, monkeypatch):
    monkeypatch.setattr(threads, "several", lambda multiplications, worth=0: count)
    plan = Plan(way, (13, 14), (3, 3), (1, 1), (13, 14))
    x, w, b, g = arrays_of(plan, 2, 3, 4)
    for array, calls in ((x, (0, 3)), (g, (2, 3)), (w, (0, 2))):
        index = (*place, 1, 2) if array is not w else (place[0] % 3, place[1] % 3, 1, 2)
        before, array[index] = array[index], value
        found = list(three_products(WAYS[way][0], plan, x, w, b, g))
        assert [found[i] is None for i in calls] == [True] * len(calls)
        array[index] = before


def test_many_images_go_to_frequencies_in_parts(monkeypatch):
    plan = Plan("dft", (6, 5), (3, 3), (1, 1), (6, 5))
    arrays = arrays_of(plan, 40, 4, 18)
    expected = list(three_products(compiled_fourier, plan, *arrays))
    kept = max(
        compiled_fourier.workspace(plan, 6, *of, np.dtype(float)) for of in ((4, 18), (18, 4))
    )
    monkeypatch.setattr(workspace, "KEPT", kept)
    parts = compiled_fourier.parts(plan, 40, 4, 18, np.dtype(float))
    assert len(parts) > 3
    assert parts[0].start == 0
    assert all(a.stop == b.start for a, b in itertools.pairwise(parts))
    for i, found in enumerate(three_products(compiled_fourier, plan, *arrays)):
        np.testing.assert_allclose(found, expected[i], rtol=0, atol=1e-12)


@given(
    st.integers(1, 600),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(*[st.integers(1, 7)] * 2),
    st.tuples(*[st.integers(1, 500)] * 2),
)
@example(256, (8, 8), (7, 7), (384, 384))  # more memory for the gradient of kernels
def test_parts_for_frequencies_fit_the_memory_that_is_kept(n, size, kernel, channels):
    plan = Plan("dft", size, kernel, tuple(k // 2 for k in kernel), size)
    found = compiled_fourier.parts(plan, n, *channels, np.dtype(np.float32))
    need = [compiled_fourier.workspace(plan, m, *channels, np.dtype(np.float32)) for m in (1, n)]
    longest = max(part.stop - part.start for part in found)
    taken = compiled_fourier.workspace(plan, longest, *channels, np.dtype(np.float32))
    assert taken <= max(workspace.KEPT, need[0])
    assert (len(found) == 1) == (n == 1 or need[1] <= workspace.KEPT)


@pytest.mark.parametrize("large", [True, False])
def test_a_bias_near_the_largest_number_does_not_overflow_on_the_way(large, monkeypatch):
    if not large:
        monkeypatch.setattr(loops, "LARGE", 1 << 62)
    x, w, b, _ = arrays_of(Plan("dft", (14, 14), (3, 3), (1, 1), (14, 14)), 8, 16, 16, np.float32)
    b[3] = np.finfo(np.float32).min
    x, w = x.transpose(2, 3, 0, 1), w.transpose(3, 2, 0, 1)
    found, expected = (
        functional.conv2d(x, w, b, padding=1, method=method).data for method in ("dft", "im2col")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("method", WAYS)
def test_a_large_convolution_goes_by_loops_whatever_the_arrays_allow(method, monkeypatch):
    used = []
    for name, module in convolution.LOOPS.items():
        whole = module.convolve
        monkeypatch.setattr(
            module, "convolve", lambda *a, _n=name, _w=whole: used.append(_n) or _w(*a)
        )
    draw = np.random.default_rng(0).standard_normal
    x, w, b = draw((6, 8, 20, 20)), draw((8, 8, 3, 3)), draw(8)
    frozen = x.copy()
    frozen.flags.writeable = False
    for images, bias in ((x, b), (x, None), (frozen, b), (x[:, ::-1], b)):
        used.clear()
        found = functional.conv2d(images, w, bias, padding=1, method=method)
        assert used == [method]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loops, "LARGE", 1 << 62)
            expected = functional.conv2d(images, w, bias, padding=1, method="im2col")
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    for others in (
        (x[:, :, :5, :5], w, b),  # small
        (x.astype(np.float16), w.astype(np.float16), b.astype(np.float16)),
        (x, w, np.float64(2)),  # which is added to all
    ):
        used.clear()
        functional.conv2d(*others, padding=1, method="im2col")
        assert used == []
    used.clear()
    x[1, 2, 3, 4] = np.inf
    y = functional.conv2d(x, w, b, padding=1, method=method)
    assert set(used) == {method, "im2col"}
    assert np.isfinite(y[0]).all()
    assert not np.isfinite(y[1, :, 3, 4]).any()


@pytest.mark.parametrize("way", ["dft", "tiles"])
def test_two_threads_may_convolve_at_once(way):
    by_loops, by_numpy = WAYS[way]
    plan = Plan(way, (14, 14), (3, 3), (1, 1), (14, 14))
    given_ = [arrays_of(plan, 4, c, 8) for c in (8, 16)]
    expected = [list(three_products(by_numpy, plan, *arrays)) for arrays in given_]
    close = functools.partial(np.allclose, rtol=0, atol=1e-10)
    wrong = []

    def work(i):
        for _ in range(20):
            found = three_products(by_loops, plan, *given_[i])
            if not all(map(close, found, expected[i])):
                wrong.append(i)

    both = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert wrong == []


def test_a_library_whose_product_is_unknown_or_wrong_is_left_alone(monkeypatch):
    assert gemm.address("float32")
    assert gemm.address("float64")
    monkeypatch.setattr(gemm, "NAMES", ("no_such_{}gemm",))
    assert gemm.address.__wrapped__("float32") == 0
    monkeypatch.setattr(gemm, "address", lambda dtype: 0)
    assert not loops.there_are.__wrapped__("<f4")
    assert not loops.there_are.__wrapped__(">f4")


def test_where_numba_cannot_compile_them_a_warning_says_so_and_numpy_computes():
    with pytest.warns(RuntimeWarning, match="computed by NumPy, as .*tile_loops could not be"):
        assert loops.compiled(tile_loops, "float32", lambda dtype: {"no_such": ()}) is None


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_who_waits_for_the_compiler_at_a_terminal_is_told_why(terminal, kept, monkeypatch):
    written = io.StringIO()
    written.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(fast, "is_kept", lambda text: kept)
    monkeypatch.setattr(fast, "functions", lambda text, wanted: [])
    assert loops.compiled.__wrapped__(tile_loops, "float32", lambda dtype: {}).product
    assert ("convolutions of float32" in written.getvalue()) == (terminal and not kept)


NEW = """
import numpy as np
from tinygrad_fm import functional
x = np.random.default_rng(0).standard_normal((8, 16, 14, 14), dtype=np.float32)
w = np.random.default_rng(1).standard_normal((16, 16, 3, 3), dtype=np.float32)
for i in range({before}):
    functional.conv2d(x[:1, :, :5, :5], w)
print(functional.conv2d(x, w, method="{way}").tobytes().hex()[:4000])
"""


@pytest.mark.parametrize("way", ["dft", "tiles"])
def test_the_same_numbers_whatever_a_process_did_before(way):
    found = {
        subprocess.run(
            [sys.executable, "-c", NEW.format(before=before, way=way)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for before in (0, 50)
    }
    assert len(found) == 1


def test_nothing_of_numba_is_loaded_for_small_convolutions():
    code = (
        "import sys, numpy as np; from tinygrad_fm import functional; "
        "functional.conv2d(np.ones((1, 2, 8, 8)), np.ones((2, 2, 3, 3))); "
        "print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("way", ["dft", "tiles"])
def test_what_overflows_on_the_way_is_told_without_a_warning(way):
    plan = Plan(way, (9, 9), (3, 3), (1, 1), (9, 9))
    x, w, b, _ = arrays_of(plan, 2, 3, 4, np.float32)
    x[...] = 3e38
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert WAYS[way][0].convolve(x, w, b, plan) is None


def test_a_setting_that_is_none_is_an_error(monkeypatch):
    monkeypatch.setenv(fast.VARIABLE, "off")
    with pytest.raises(ValueError, match=r"TINYGRAD_FM_FAST is 0 .* not 'off'"):
        loops.there_are.__wrapped__("<f4")
