"""Products in pieces: their numbers, when they are made, and that compiled steps make the same."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import Tensor, functional, nn, optim, threads
from tinygrad_fm.rules import products


@pytest.fixture
def small_kernels(monkeypatch):
    """As on a machine whose library has them, on one thread, with pieces of few multiplications."""
    monkeypatch.setattr(products, "has_small_kernels", lambda: True)
    monkeypatch.setattr(products, "MOST", 40_000)
    monkeypatch.setattr(threads, "per_product", lambda: 1)
    products.pieces.cache_clear()
    yield
    products.pieces.cache_clear()


def matrices(m, k, n, turned, dtype, batch=()):
    draw = np.random.default_rng(0).standard_normal
    a, b = draw((*batch, m, k)).astype(dtype), draw((*batch, k, n)).astype(dtype)
    if turned[0]:
        a = np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)
    if turned[1]:
        b = np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)
    return a, b


@given(
    pieces=st.tuples(*[st.integers(1, 4)] * 2),
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    turned=st.tuples(st.booleans(), st.booleans()),
    batch=st.sampled_from([(), (1,), (3,), (2, 3)]),
    given_out=st.booleans(),
)
def test_pieces_make_the_whole(pieces, sizes, turned, batch, given_out):
    (rows, columns), (i, k, j) = pieces, sizes
    a, b = matrices(rows * i, k, columns * j, turned, np.float64, batch)
    out = np.full((*batch, rows * i, columns * j), np.nan) if given_out else None
    made = products.in_pieces(a, b, rows, columns, out=out)
    assert out is None or made is out
    np.testing.assert_allclose(made, np.matmul(a, b), atol=1e-12)


def test_one_matrix_times_many_and_into_memory_that_is_not_in_order():
    draw = np.random.default_rng(0).standard_normal
    a, b = draw((6, 5)), draw((3, 5, 8))
    np.testing.assert_allclose(products.in_pieces(a, b, 3, 4), np.matmul(a, b), atol=1e-13)
    out = np.zeros((6, 3, 16))[..., ::2].transpose(1, 0, 2)
    products.in_pieces(a, b, 2, 8, out=out)
    np.testing.assert_allclose(out, np.matmul(a, b), atol=1e-13)


@given(
    m=st.integers(1, 300), k=st.integers(1, 300), n=st.integers(1, 300),
    turned=st.tuples(st.booleans(), st.booleans()), single=st.booleans(),
)  # fmt: skip
def test_pieces_divide_the_result_and_are_small(m, k, n, turned, single):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "has_small_kernels", lambda: True)
        dtype = np.dtype(np.float32 if single else np.float64)
        cut = products.pieces.__wrapped__((m, k), (k, n), turned, dtype)
    if cut is not None:
        rows, columns = cut
        assert m % rows == n % columns == 0
        assert rows * columns * k <= products.MOST
        assert not all(turned)
        assert not turned[1] or rows * columns <= products.MOST_TRANSPOSED


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_products_are_made_in_pieces(turned, dtype, small_kernels, monkeypatch):
    made = []
    in_pieces = products.in_pieces
    monkeypatch.setattr(products, "in_pieces", lambda *a, **k: made.append(1) or in_pieces(*a, **k))
    a, b = matrices(64, 80, 128, turned, dtype)
    for product in (products.multiply, products.batched):
        made.clear()
        np.testing.assert_allclose(product(a, b), np.matmul(a, b), rtol=1e-4, atol=1e-4)
        assert made
        for x, y in ((a[:2, :8], b[:8]), (a.astype("f2"), b), (a.astype(">f8"), b.astype(">f8"))):
            made.clear()
            np.testing.assert_allclose(product(x, y), np.matmul(x, y), rtol=1e-4)
            assert not made  # small, of two dtypes, or not the machine's own


@pytest.mark.parametrize("given_out", [False, True])
def test_a_small_product_of_long_sums_is_a_sum_of_products(given_out, small_kernels, monkeypatch):
    sums = []
    in_sums = products.in_sums
    monkeypatch.setattr(products, "in_sums", lambda *a: sums.append(a[2]) or in_sums(*a))
    products.summands.cache_clear()
    a, b = matrices(5, 6400, 9, (False, False), np.float64)
    out = np.full((5, 18), np.nan)[:, ::2] if given_out else None
    made = products.batched(a, b, out)
    products.summands.cache_clear()
    assert sums == [800]  # 5 x 800 x 9 are 36,000 multiplications
    assert out is None or made is out
    np.testing.assert_allclose(made, a @ b, atol=1e-11)


SMALL, MIDDLE, LARGE = (64, 64, 128), (64, 784, 128), (64, 784, 256)


@pytest.mark.parametrize(
    ("sizes", "turned", "by_threads"),  # how it is made where the library has 1, 2 or 3
    [
        (SMALL, (False, False), ("dot", "dot", "dot")),
        (SMALL, (True, False), ("dot", "dot", "dot")),
        (SMALL, (False, True), ("dot", "in_pieces", "in_pieces")),
        (MIDDLE, (False, False), ("multiply_large", "multiply_for_two", "dot")),
        ((784, 64, 128), (True, False), ("multiply_large", "multiply_for_two", "dot")),
        ((64, 128, 256), (False, True), ("in_pieces", "dot", "dot")),
        (LARGE, (False, False), ("multiply_large", "dot", "dot")),
        (MIDDLE, (True, True), ("dot", "dot", "dot")),
    ],
)
def test_what_the_librarys_threads_make_and_what_one_makes_alone(
    sizes, turned, by_threads, monkeypatch
):
    monkeypatch.setattr(products, "has_small_kernels", lambda: True)
    products.pieces.cache_clear()
    m, k, n = sizes
    made = []
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "per_product", lambda count=count: count)
        function, cut = products.way((m, k), (k, n), turned, np.dtype("f4"))
        assert bool(cut) == (function.__name__ in ("in_pieces", "multiply_large"))
        made.append(function.__name__)
        for out in (None, np.empty((m, n), np.float32)):
            a, b = matrices(m, k, n, turned, np.float32)
            expected = np.matmul(a.astype(np.float64), b)
            np.testing.assert_allclose(products.multiply(a, b, out=out), expected, atol=1e-3)
    products.pieces.cache_clear()
    assert tuple(made) == by_threads


def test_a_compiled_step_makes_the_pieces_of_the_step_and_says_so(small_kernels, tmp_path):
    def training():
        layers = nn.Linear(48, 64, rng=0), nn.Tanh(), nn.Linear(64, 16, rng=1)
        model = nn.Sequential(*layers)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x, y):
            optimizer.zero_grad()
            h = Tensor(x) @ np.ones((48, 48), np.float32) / 48  # by the operator
            loss = functional.cross_entropy(model(h), y)
            loss.backward()
            optimizer.step()
            return loss

        return step, model

    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((32, 48), dtype=np.float32), draw.integers(0, 16, 32)
    (eager, ours), (step, theirs) = training(), training()
    compiled = tg.compile(step)
    for _ in range(4):
        assert eager(x, y).item() == compiled(x, y).item()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert compiled.source.count("multiply_large(") == 3  # two forward, one backward
    assert "multiply_large(" not in compiled.source.partition("t1 = ")[0]

    path = compiled.export(tmp_path / "step.py")
    text = path.read_text()
    assert "def multiply_large(a, b, rows, columns, *, out=None):" in text
    assert "tinygrad_fm." not in text
    code = (
        "import sys, numpy as np; sys.path.insert(0, sys.argv[1]); from step import step\n"
        "draw = np.random.default_rng(0)\n"
        "x, y = draw.standard_normal((32, 48), dtype=np.float32), draw.integers(0, 16, 32)\n"
        "print(repr(float(step(x, y)[0])))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) == eager(x, y).item()


@pytest.mark.parametrize(
    ("library", "told", "features", "expected"),
    [
        ("openblas", None, {"AVX512_SKX": True}, True),
        ("openblas", None, {"AVX512_SKX": False}, False),
        ("openblas", None, {}, False),
        ("mkl", None, {"AVX512_SKX": True}, False),
        ("openblas", "Haswell", {"AVX512_SKX": True}, False),
        ("openblas", "SkylakeX", {}, True),
    ],
)
def test_small_kernels_are_openblas_on_avx512(library, told, features, expected, monkeypatch):
    from numpy._core import _multiarray_umath

    monkeypatch.setattr(threads, "library", lambda: (library, "1.0"))
    monkeypatch.setattr(_multiarray_umath, "__cpu_features__", features)
    if told is None:
        monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    else:
        monkeypatch.setenv("OPENBLAS_CORETYPE", told)
    assert products.has_small_kernels.__wrapped__() is expected


@pytest.mark.parametrize("function", [np.linalg.inv, np.linalg.pinv, np.linalg.det])
def test_rules_of_other_functions_make_the_same_pieces(function, small_kernels):
    draw = np.random.default_rng(0).standard_normal
    p = Tensor(draw((48, 48)) + 48 * np.eye(48), requires_grad=True)

    def step(scale):
        p.grad = None
        loss = np.sum(np.square(function(p * scale)))
        loss.backward()
        return loss, p.grad

    compiled = tg.compile(step)
    for _ in range(4):
        for found, expected in zip(compiled(np.float64(1)), step(np.float64(1)), strict=True):
            np.testing.assert_array_equal(found.data, expected.data)


class Matrix:
    def __array__(self, dtype=None, copy=None):
        return np.ones((3, 2))


def test_what_becomes_an_array_is_multiplied_and_what_does_not_fit_is_explained():
    t = Tensor(np.ones((2, 3)), requires_grad=True)
    np.testing.assert_array_equal((t @ Matrix()).data, np.full((2, 2), 3.0))
    np.testing.assert_array_equal((Matrix() @ t).data, np.full((3, 3), 2.0))
    with pytest.raises(ValueError, match="matmul"):
        t @ 3
    with pytest.raises(ValueError, match=r"\(200, 300\) @ \(200, 300\)"):
        Tensor(np.ones((200, 300))) @ np.ones((200, 300))
