"""Convolution in each of its ways, and pooling, against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import Tensor, functional, nn, threads
from tinygrad_fm.functional import convolution_method
from tinygrad_fm.functional.convolution_method import fastest
from tinygrad_fm.rules import (
    columns,
    compiled_fourier,
    fourier,
    gathering,
    loops,
    toom_cook,
    turning,
    windows,
    workspace,
)
from tinygrad_fm.rules.plan import Plan
from tinygrad_fm.testing import check_grads

METHODS = ("im2col", "dft", "tiles")


def direct(x, w, bias, before, after, stride, dilation, groups):
    """The sum that defines a convolution, with one slice of the image for each kernel element."""
    x = np.pad(x, ((0, 0), (0, 0), (before[0], after[0]), (before[1], after[1])))
    o, c, *kernel = w.shape
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    y = np.zeros((len(x), groups, o // groups, *out), x.dtype) + bias.reshape(groups, -1, 1, 1)
    parts = x.reshape(len(x), groups, c, *x.shape[2:])
    for k, m in np.ndindex(*kernel):
        rows = slice(k * dilation[0], k * dilation[0] + stride[0] * out[0], stride[0])
        cols = slice(m * dilation[1], m * dilation[1] + stride[1] * out[1], stride[1])
        y += np.einsum(
            "ngchw,goc->ngohw",
            parts[..., rows, cols][..., : out[0], : out[1]],
            w[:, :, k, m].reshape(groups, o // groups, c),
        )
    return y.reshape(len(x), o, *out)


@st.composite
def convolutions(draw):
    """Images, kernels and bias, and the options of a convolution that they fit."""
    method = draw(st.sampled_from(["auto", *METHODS]), label="method")
    pair = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))
    plain = method in ("dft", "tiles")
    groups = 1 if plain else draw(st.integers(1, 3), label="groups")
    square = st.integers(2, 5).map(lambda size: (size, size))
    kernel = draw(square if method == "tiles" else pair(1, 4), label="kernel")
    dilation = (1, 1) if method == "tiles" else draw(pair(1, 2), label="dilation")
    stride = (1, 1) if plain else draw(pair(1, 3), label="stride")
    padding = draw(pair(0, 3), label="padding")
    axes = zip(kernel, dilation, padding, strict=True)
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in axes]
    size = [n + draw(st.integers(0, 9)) for n in least]
    n, c, o = draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 3)), label="nco")
    rng = np.random.default_rng(draw(st.integers(0, 9), label="seed"))
    return (
        rng.standard_normal((n, c * groups, *size)),
        rng.standard_normal((o * groups, c, *kernel)),
        rng.standard_normal(o * groups),
        {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
        method,
    )


def expected_of(x, w, bias, options):
    rest = (options["stride"], options["dilation"], options["groups"])
    return direct(x, w, bias, options["padding"], options["padding"], *rest)


def close(found, expected, limit):
    scale = max(np.max(np.abs(expected), initial=0), 1e-30)
    return np.max(np.abs(found - expected), initial=0) <= limit * scale


@given(convolutions())
def test_every_way_is_the_direct_sum(drawn):
    x, w, bias, options, method = drawn
    found = functional.conv2d(x, w, bias, method=method, **options)
    assert close(found, expected_of(x, w, bias, options), 1e-12)


@given(convolutions())
def test_float32_stays_float32_and_near(drawn):
    x, w, bias, options, method = drawn
    narrow = [a.astype(np.float32) for a in (x, w, bias)]
    found = functional.conv2d(*narrow, method=method, **options)
    assert found.dtype == np.float32
    assert close(found, expected_of(x, w, bias, options), 1e-4)


@given(convolutions())
def test_gradients_are_the_transposes_of_the_direct_sum(drawn):
    x, w, bias, options, method = drawn
    tensors = [Tensor(a, requires_grad=True) for a in (x, w, bias)]
    y = functional.conv2d(*tensors, method=method, **options)
    g = np.cos(np.arange(float(y.size))).reshape(y.shape)
    y.backward(g)
    # linear in each: <g, f(direction)> = <gradient, direction>
    rng = np.random.default_rng(0)
    zero = np.zeros_like(bias)
    for i, t in enumerate(tensors):
        direction = rng.standard_normal(t.shape)
        given_ = [x, w, bias]
        given_[i] = direction
        if i == 2:
            there = np.sum(g * direction[:, None, None])
        else:
            there = np.sum(g * expected_of(given_[0], given_[1], zero, options))
        # not of the gradient, which is 0 where windows see nothing but padding
        scale = np.prod([np.linalg.norm(a) for a in (x, w, g, direction)])
        assert abs(np.sum(t.grad.data * direction) - there) <= 1e-11 * (1 + scale)


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_to_second_order(method):
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 2, 5, 6)), rng.standard_normal((3, 2, 3, 3)), np.ones(3)
    f = lambda *a: np.tanh(functional.conv2d(*a, padding=1, method=method)).sum()
    check_grads(f, x, w, b, elements=8)


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
@pytest.mark.parametrize("size", [(13, 10), (5, 16)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2), (6, 5)])  # which tiles are all or part of
def test_tiles_at_the_edges(kernel, size, padding):
    out = tuple(s + 2 * p - kernel + 1 for s, p in zip(size, padding, strict=True))
    plan = Plan("tiles", size, (kernel, kernel), padding, out)
    draw = np.random.default_rng(0).standard_normal
    x, w, b, g = draw((*size, 2, 3)), draw((kernel, kernel, 3, 4)), draw(4), draw((*out, 2, 4))
    for product in (
        lambda way: way.convolve(x, w, b, plan),
        lambda way: way.input_gradient(g, w, plan),
        lambda way: way.weight_gradient(x, g, plan),
    ):
        np.testing.assert_allclose(product(toom_cook), product(columns), atol=1e-11)


@pytest.mark.parametrize("way", [columns, fourier, toom_cook], ids=lambda m: m.__name__)
@settings(max_examples=30)
@given(convolutions())
def test_a_small_workspace_changes_nothing(way, drawn):
    x, w, bias, options, method = drawn
    g = np.ones(expected_of(x, w, bias, options).shape)

    def results():
        tensors = [Tensor(a, requires_grad=True) for a in (x, w, bias)]
        y = functional.conv2d(*tensors, method=method, **options)
        y.backward(g)
        return [y.data, *(t.grad.data for t in tensors)]

    expected, limit = results(), way.WORKSPACE
    way.WORKSPACE = 1
    try:
        found = results()
    finally:
        way.WORKSPACE = limit
    assert all(close(a, b, 1e-12) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("many", [0, 1 << 40])  # weights are many, or windows
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"groups": 2}, {"dilation": 2}])
def test_a_gradient_that_adds_to_windows_is_that_of_the_direct_sum(monkeypatch, many, options):
    monkeypatch.setattr(columns, "MANY", many)
    monkeypatch.setattr(columns, "_turns", lambda *_: False)
    rng = np.random.default_rng(5)
    x = Tensor(rng.standard_normal((2, 4, 6, 7)), requires_grad=True)
    w = rng.standard_normal((6, 4 // options.get("groups", 1), 3, 3))
    y = functional.conv2d(x, w, padding=1, method="im2col", **options)
    g, direction = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
    y.backward(g)
    pair = {name: (options.get(name, 1),) * 2 for name in ("stride", "dilation")}
    rest = {"padding": (1, 1), "groups": options.get("groups", 1), **pair}
    there = np.sum(g * expected_of(direction, w, np.zeros(6), rest))
    np.testing.assert_allclose(np.sum(x.grad.data * direction), there, rtol=1e-12)


@pytest.mark.parametrize("far", [0, 1 << 30])
@pytest.mark.parametrize("shape", [(3, 2, 5, 7), (1, 1, 4, 128), (2, 2, 3, 300)])
def test_turned_kernels_are_reversed_and_exchange_their_channels(monkeypatch, far, shape):
    monkeypatch.setattr(turning, "FAR", far)
    weight = np.random.default_rng(6).standard_normal(shape)
    found = turning.turned_kernels(weight)
    np.testing.assert_array_equal(found, weight[::-1, ::-1].transpose(0, 1, 3, 2))
    assert found.flags.c_contiguous


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3)])  # windows that share no pixels, and that do
def test_pooling_and_turning_are_the_same_when_threads_share_them(monkeypatch, kernel):
    rng = np.random.default_rng(7)
    x = rng.integers(0, 4, (3, 5, 8, 8)).astype(np.float32)
    weight = rng.standard_normal((2, 3, 5, 300))

    def results():
        t = Tensor(x, requires_grad=True)
        y = functional.max_pool2d(t, kernel, 2)
        y.backward(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))
        return t.grad.data, turning.turned_kernels(weight)

    monkeypatch.setattr(turning, "FAR", 0)
    monkeypatch.setattr(windows, "BAND", 1)
    expected, spans = results(), []
    monkeypatch.setattr(threads, "WORTH_COPYING", 1)
    monkeypatch.setattr(threads, "_libraries", lambda: [None])
    monkeypatch.setattr(threads, "count", lambda: 3)
    shared = threads.spans
    monkeypatch.setattr(threads, "spans", lambda *a: spans.append(shared(*a)) or spans[-1])
    for found, alone in zip(results(), expected, strict=True):
        np.testing.assert_array_equal(found, alone)
    assert [len(s) for s in spans] == ([3, 3] if kernel == (2, 2) else [3])


@pytest.mark.parametrize("method", METHODS)
def test_padding_may_differ_on_the_two_sides(method):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 3))
    found = functional.conv2d(x, w, padding=((2, 0), (1, 3)), method=method)
    expected = direct(x, w, np.zeros(4), (2, 1), (0, 3), (1, 1), (1, 1), 1)
    np.testing.assert_allclose(found, expected, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_images_and_kernels_may_lie_in_any_order(method):
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 3))
    expected = functional.conv2d(x, w, padding=1, method=method)
    found = functional.conv2d(np.asfortranarray(x), np.asfortranarray(w), padding=1, method=method)
    np.testing.assert_array_equal(found, expected)


def test_a_result_lies_in_the_order_that_the_next_layer_computes_with():
    y = nn.Conv2d(2, 3, 3, rng=0)(np.ones((4, 2, 6, 6), np.float32))
    assert np.tanh(y).data.transpose(2, 3, 0, 1).flags.c_contiguous


def test_a_layers_kernels_lie_in_the_order_that_it_computes_with():
    layer = nn.Conv2d(2, 3, (3, 2), rng=0)
    assert layer.weight.data.transpose(2, 3, 1, 0).flags.c_contiguous
    layer(np.ones((4, 2, 6, 6), np.float32)).sum().backward()
    assert layer.weight.grad.data.transpose(2, 3, 1, 0).flags.c_contiguous


def test_images_that_need_no_gradient_get_none(monkeypatch):
    def refuse(*_):
        raise AssertionError("the gradient of the images was computed")

    monkeypatch.setattr(columns, "input_gradient", refuse)
    layer = nn.Conv2d(1, 2, 3, rng=0, method="im2col")
    layer(np.ones((2, 1, 5, 5), np.float32)).sum().backward()
    assert layer.weight.grad.shape == (2, 1, 3, 3)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_without_images_has_gradients(method):
    layer = nn.Conv2d(2, 3, 3, rng=0, padding=1, method=method)
    x = Tensor(np.ones((0, 2, 5, 5), np.float32), requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.shape == x.shape
    np.testing.assert_array_equal(layer.weight.grad.data, 0)


X, W = np.ones((1, 2, 5, 5), np.float32), np.ones((2, 2, 3, 3), np.float32)
WRONG = [
    (lambda: functional.conv2d(X, W, method="fft"), "one of 'auto', .* not 'fft'"),
    (lambda: nn.Conv2d(1, 1, 3, method="fast"), "one of 'auto', .* not 'fast'"),
    (lambda: functional.conv2d(X, W, stride=2, method="dft"), "takes stride 1 and one group, not"),
    (lambda: functional.conv2d(X, W[:, :1], groups=2, method="dft"), "and 2 groups; write"),
    (
        lambda: functional.conv2d(X, W[:, :, :2], method="tiles"),
        "square kernels of 2 .* not \\(2, 3",
    ),
    (lambda: functional.conv2d(X, W, dilation=2, method="tiles"), "without dilation, not"),
    (lambda: functional.conv2d(X, W.astype(float), method="dft"), "not float32 and float64; write"),
    (lambda: functional.conv2d(X, W[:, :, :, :0]), "at least one pixel, not 3 by 0"),
    (lambda: functional.conv2d(X, W, padding=(1, 2, 3)), "or two \\(for height"),
    (lambda: functional.conv2d(X, W, padding=((1, 2),)), "top, bottom.* where sides differ, not"),
    (lambda: functional.conv2d(X, W, padding=((1, -1), (0, 0))), "at least 0"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_arguments_say_so(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("dtype", [np.int64, np.float16])
def test_other_numbers_are_summed_directly(dtype):
    x, w = X.astype(dtype), W.astype(dtype)
    found = functional.conv2d(x, w, padding=1)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[0, 0, 1:-1, 1:-1], 18)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("method", ["dft", "tiles"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@given(place=st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 7), st.integers(0, 8)))
@settings(max_examples=20)
def test_a_value_that_is_not_finite_stays_where_the_sum_has_it(method, value, place):
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 3, 8, 9)), rng.standard_normal((4, 3, 3, 3))
    x[place] = value

    def results(how):
        a, b = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
        y = functional.conv2d(a, b, padding=1, method=how)
        y.backward(np.where(np.isfinite(y.data), 1.0, np.nan))
        return y.data, a.grad.data, b.grad.data

    for found, expected in zip(results(method), results("im2col"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["dft", "tiles"])
def test_a_search_for_nan_finds_what_made_it_and_not_the_convolution(method):
    x = np.ones((1, 1, 8, 8), np.float32)
    x[0, 0, 2, 3] = 0
    layer = nn.Conv2d(1, 1, 3, padding=1, rng=0, method=method)
    with tg.debug.trace_nonfinite() as trace:
        y = layer(np.log(Tensor(x, requires_grad=True)))
    assert trace.origin.operation == "log"
    assert np.isfinite(y.data[0, 0, 5:]).all()


def test_an_outlier_costs_far_results_no_more_than_is_documented():
    rng = np.random.default_rng(4)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((1, 8, 14, 14), (8, 8, 3, 3)))
    x[0, 0, 0, 0] = 1e4
    exact = functional.conv2d(x.astype(float), w.astype(float), padding=1, method="im2col")
    for method, limit in (("im2col", 1e-4), ("tiles", 1e-3), ("dft", 1e-2)):
        found = functional.conv2d(x, w, padding=1, method=method)
        assert np.max(np.abs(found - exact)[..., 5:, 5:]) < limit


@st.composite
def pools(draw):
    """Images with many ties, and windows that fit them."""
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)), label="kernel")
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)), label="stride")
    size = [k + draw(st.integers(0, 5)) for k in kernel]
    rng = np.random.default_rng(draw(st.integers(0, 9), label="seed"))
    x = rng.integers(0, 4, (2, 3, *size)).astype(float)
    band = draw(st.sampled_from([1, 20, 1 << 15]), label="band")
    return (x if draw(st.booleans()) else np.asfortranarray(x)), kernel, stride, band


@given(pools())
def test_the_first_of_equals_in_reading_order_takes_the_gradient_of_a_maximum(drawn):
    x, kernel, stride, band = drawn
    t = Tensor(x, requires_grad=True)
    before, windows.BAND = windows.BAND, band
    try:
        y = functional.max_pool2d(t, kernel, stride)
        g = np.cos(np.arange(float(y.size))).reshape(y.shape)
        y.backward(g)
    finally:
        windows.BAND = before
    expected = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(*y.shape):
        a, b = i * stride[0], j * stride[1]
        window = x[n, c, a : a + kernel[0], b : b + kernel[1]]
        assert y.data[n, c, i, j] == window.max()
        k, m = np.unravel_index(np.argmax(window), window.shape)  # the first
        expected[n, c, a + k, b + m] += g[n, c, i, j]
    np.testing.assert_allclose(t.grad.data, expected, atol=1e-14)


@given(pools())
def test_a_mean_shares_its_gradient_evenly(drawn):
    x, kernel, stride, _ = drawn
    t = Tensor(x, requires_grad=True)
    y = functional.avg_pool2d(t, kernel, stride)
    g = np.cos(np.arange(float(y.size))).reshape(y.shape)
    y.backward(g)
    expected = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(*y.shape):
        a, b = i * stride[0], j * stride[1]
        place = n, c, slice(a, a + kernel[0]), slice(b, b + kernel[1])
        assert abs(y.data[n, c, i, j] - x[place].mean()) < 1e-14
        expected[place] += g[n, c, i, j] / (kernel[0] * kernel[1])
    np.testing.assert_allclose(t.grad.data, expected, atol=1e-14)


@given(st.integers(1, 600), st.integers(1, 64), st.integers(1, 64), st.integers(5, 40))
@settings(max_examples=30)
def test_what_is_chosen_computes_in_bounded_memory(n, c, o, size):
    plan = Plan("auto", (size, size), (5, 5), (2, 2), (size, size))
    dtype = np.dtype(np.float32)
    method = fastest(plan, n, c, o, dtype)
    way = compiled_fourier if compiled_fourier.takes(plan, n, c, o, dtype) else fourier
    most = way.parts(plan, n, c, o, dtype)[0].stop
    assert method != "dft" or way.workspace(plan, most, c, o, dtype) <= workspace.KEPT


@pytest.mark.parametrize(
    ("library", "images", "channels", "way"),
    [
        ("openblas", 32, 32, "tiles"),
        ("mkl", 32, 32, "dft"),
        ("another", 32, 32, "tiles"),
        ("openblas", 1, 128, "im2col"),
        ("openblas with small kernels", 1, 128, "tiles"),
    ],
)
def test_what_is_chosen_depends_on_the_matrix_library(monkeypatch, library, images, channels, way):
    small = library.endswith("small kernels")
    monkeypatch.setattr(threads, "library", lambda: (library, "1.0"))
    monkeypatch.setattr(convolution_method, "has_small_kernels", lambda: small)
    monkeypatch.setattr(loops, "LARGE", 1 << 62)
    plan = Plan("auto", (14, 14), (3, 3), (1, 1), (14, 14))
    assert fastest.__wrapped__(plan, images, channels, channels, np.dtype(np.float32)) == way


@pytest.mark.parametrize(("stride", "dilation"), [(16, 1), (1, 16)])
def test_few_channels_take_no_more_memory_than_their_windows(monkeypatch, stride, dilation):
    monkeypatch.setattr(columns, "WORKSPACE", 1 << 12)
    asked = []
    scratch = columns.scratch
    monkeypatch.setattr(
        columns, "scratch", lambda *a: asked.append(8 * sum(map(np.prod, a[1:]))) or scratch(*a)
    )
    monkeypatch.setattr(loops, "LARGE", 1 << 62)  # which have memory of their own
    x, w = np.ones((4, 2, 91, 91)), np.ones((3, 2, 3, 3))
    functional.conv2d(x, w, padding=dilation, stride=stride, dilation=dilation, method="im2col")
    assert max(asked) <= 2 * columns.WORKSPACE


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_an_image_without_rows_gives_what_padding_gives(method):
    x, w = np.ones((1, 2, 0, 5)), np.ones((3, 2, 3, 3))
    y = functional.conv2d(x, w, np.arange(3.0), padding=2, method=method)
    np.testing.assert_array_equal(y.data, np.broadcast_to(np.arange(3.0)[:, None, None], y.shape))


def test_many_images_go_by_dft_in_parts(monkeypatch):
    plan = Plan("dft", (6, 5), (3, 3), (1, 1), (6, 5))
    draw = np.random.default_rng(0).standard_normal
    x, w, b, g = draw((6, 5, 7, 4)), draw((3, 3, 4, 2)), draw(2), draw((6, 5, 7, 2))
    products = [
        lambda way: way.convolve(x, w, b, plan),
        lambda way: way.input_gradient(g, w, plan),
        lambda way: way.weight_gradient(x, g, plan),
    ]
    monkeypatch.setattr(workspace, "KEPT", fourier.workspace(plan, 3, 4, 2, x.dtype))
    assert fourier.parts(plan, 7, 4, 2, x.dtype) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    for product in products:
        np.testing.assert_allclose(product(fourier), product(columns), atol=1e-12)
    x[0, 0, 6, 0] = g[0, 0, 6, 0] = np.inf  # in the last part
    with np.errstate(all="ignore"):
        assert [product(fourier) for product in products] == [None] * 3


def test_a_thread_keeps_no_more_memory_than_it_may(monkeypatch):
    monkeypatch.setattr(workspace, "KEPT", 1 << 16)
    monkeypatch.setattr(workspace._kept, "parts", {})
    x, w = np.ones((4, 8, 12, 12), np.float32), np.ones((8, 8, 3, 3), np.float32)
    for method in METHODS:
        functional.conv2d(x, w, method=method)
        assert all(len(kept.bytes) <= 1 << 16 for kept in workspace._kept.parts.values())


@pytest.mark.parametrize("channels", [1, 8])
def test_no_images_are_an_empty_batch(channels):
    x = tg.Tensor(np.zeros((0, channels, 5, 5)), requires_grad=True)
    w = tg.Tensor(np.ones((9, channels, 3, 3)), requires_grad=True)
    y = functional.conv2d(x, w, padding=1, method="im2col")
    np.sum(y).backward()
    assert (y.shape, x.grad.shape) == ((0, 9, 5, 5), x.shape)
    np.testing.assert_array_equal(w.grad.data, np.zeros(w.shape))


def test_the_numbers_of_pixels_that_are_kept_are_bounded_and_shared_by_equal_parts(monkeypatch):
    kept = gathering._Kept()
    monkeypatch.setattr(gathering, "numbers", kept)
    monkeypatch.setattr(gathering, "KEPT", 1 << 20)
    made = []
    count = gathering.Reading.numbers
    monkeypatch.setattr(
        gathering.Reading, "numbers", lambda self, n: made.append(n) or count(self, n)
    )
    w = np.ones((8, 8, 3, 3), np.float32)
    for n in (8, *range(1, 8)):
        x = np.random.default_rng(n).standard_normal((n, 8, 64, 64)).astype(np.float32)
        y = functional.conv2d(x, w, padding=1, method="im2col")
        np.testing.assert_allclose(y[:, 0, 5, 5], x[:, :, 4:7, 4:7].sum((1, 2, 3)), rtol=1e-3)
        assert kept._bytes == sum(a.nbytes for a in kept._found.values()) <= gathering.KEPT
    assert made.count(8) <= 4  # above, inside, below and what is left over


@pytest.mark.parametrize(
    "bias", [2.0, np.float32(2), np.full(1, 2, "f4"), np.full(4, np.inf, "f4")]
)
@pytest.mark.parametrize("channels", [3, 8])
def test_what_can_be_added_is_a_bias_for_few_channels_as_for_many(bias, channels):
    draw = np.random.default_rng(0).standard_normal
    x, w = draw((2, channels, 8, 8), dtype=np.float32), draw((4, channels, 3, 3), dtype=np.float32)
    with np.errstate(all="raise"):
        found = functional.conv2d(x, w, bias, method="im2col")
    expected = functional.conv2d(x, w, None, method="im2col") + np.reshape(bias, (-1, 1, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_no_kernels_make_no_channels(method):
    x, w = Tensor(np.ones((2, 3, 8, 8)), requires_grad=True), np.ones((0, 3, 3, 3))
    y = functional.conv2d(x, w, method=method)
    assert y.shape == (2, 0, 6, 6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.zeros((2, 3, 8, 8)))
