"""Convolutions that threads share are those of one thread."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import functional, nn, optim, threads
from tinygrad_fm.rules import columns, fourier, products, toom_cook
from tinygrad_fm.rules.plan import Plan

WAYS = {"im2col": columns, "dft": fourier, "tiles": toom_cook}


def plan_of(way, size, kernel, padding):
    kernel = (kernel[0], kernel[0]) if way == "tiles" else kernel
    before = [min(p, k - 1) for p, k in zip(padding, kernel, strict=True)]
    out = [n + 2 * p - k + 1 for n, p, k in zip(size, before, kernel, strict=True)]
    return Plan(way, size, kernel, tuple(before), tuple(out))


def three_products(plan, n, c, o, dtype):
    """The three products of random arrays, as calls."""
    draw = np.random.default_rng(0).standard_normal
    x, w = draw((*plan.image, n, c)).astype(dtype), draw((*plan.kernel, c, o)).astype(dtype)
    b, g = draw(o).astype(dtype), draw((*plan.out, n, o)).astype(dtype)
    way = WAYS[plan.method]
    return [
        lambda: way.convolve(x, w, b, plan),
        lambda: way.input_gradient(g, w, plan),
        lambda: way.weight_gradient(x, g, plan),
    ], (x, g)


pairs = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))


@given(
    way=st.sampled_from(list(WAYS)),
    size=pairs(5, 18),
    kernel=pairs(2, 5),
    padding=pairs(0, 3),
    nco=st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 9)),
    count=st.integers(2, 5),
)
def test_shared_by_threads_each_product_is_the_same(way, size, kernel, padding, nco, count):
    plan = plan_of(way, size, kernel, padding)
    calls, _ = three_products(plan, *nco, np.float64)
    alone = [call() for call in calls]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "several", lambda multiplications, worth=0: count)
        for call, expected in zip(calls, alone, strict=True):
            np.testing.assert_allclose(call(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_large_products_are_shared_and_the_matrix_library_is_as_before(way, monkeypatch):
    if not threads.counts():
        pytest.skip("threadpoolctl, the extra `threads`, is not installed")
    plan = plan_of(way, (14, 14), (5, 5), (1, 1))
    calls, _ = three_products(plan, 16, 16, 16, np.float32)
    shared = []
    share = threads.share
    monkeypatch.setattr(threads, "WORTH", 1000)
    monkeypatch.setattr(threads, "count", lambda: 2)
    monkeypatch.setattr(
        threads, "share", lambda call, works: shared.append(1) or share(call, works)
    )
    before = threads.counts()
    for call in calls:
        shared.clear()
        call()
        assert shared
        assert threads.counts() == before


@pytest.mark.parametrize("way", ["dft", "tiles"])
@pytest.mark.parametrize("place", [(0, 0), (13, 13)])
def test_what_is_not_finite_is_found_by_every_thread(way, place, monkeypatch):
    plan = plan_of(way, (14, 14), (3, 3), (1, 1))
    calls, (x, g) = three_products(plan, 2, 3, 3, np.float32)
    monkeypatch.setattr(threads, "several", lambda multiplications, worth=0: 3)
    x[place] = g[place] = np.inf
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")  # of a thread that does not know what is to be ignored
        assert [call() for call in calls] == [None] * 3


@pytest.mark.parametrize("way", WAYS)
def test_an_infinity_gives_what_it_gives_without_threads(way, monkeypatch):
    draw = np.random.default_rng(0).standard_normal
    x, w = draw((2, 8, 12, 12)), draw((4, 8, 3, 3))
    x[1, 2, 3, 4] = np.inf
    alone = functional.conv2d(x, w, padding=1, method=way)
    monkeypatch.setattr(threads, "several", lambda multiplications, worth=0: 2)
    np.testing.assert_allclose(functional.conv2d(x, w, padding=1, method=way).data, alone.data)


def training():
    """A step of a small network, and the network."""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, rng=0), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3, rng=1)
    )
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x, y):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, model


@pytest.mark.parametrize("way", WAYS)
def test_where_there_are_no_threads_any_more_one_does_all(way, monkeypatch):
    plan = plan_of(way, (14, 14), (3, 3), (1, 1))
    calls, _ = three_products(plan, 3, 20, 24, np.float64)
    alone = [call() for call in calls]
    monkeypatch.setattr(threads, "several", lambda multiplications, worth=0: 3)
    monkeypatch.setattr(threads, "_submit", lambda call, work: None)
    for call, expected in zip(calls, alone, strict=True):
        np.testing.assert_allclose(call(), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("sizes", [(7, 5, 40), (40, 5, 7), (1, 3, 1)])
def test_a_product_by_threads_is_the_product(sizes, monkeypatch):
    m, k, n = sizes
    draw = np.random.default_rng(0).standard_normal
    a, b, out = draw((m, k)), draw((k, n)), np.full((m, n), np.nan)
    monkeypatch.setattr(threads, "several", lambda multiplications, worth=0: 3)
    np.testing.assert_allclose(products.by_threads(a, b), a @ b, rtol=1e-13)
    assert products.by_threads(a.T.copy().T, b, out=out) is out
    np.testing.assert_allclose(out, a @ b, rtol=1e-13)


def test_in_a_program_that_shares_convolutions_threads_share_large_products(monkeypatch):
    monkeypatch.setattr(threads, "several", lambda multiplications, worth=0: 2)
    step, _ = training()
    compiled = tg.compile(step)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 2, 6, 6), dtype=np.float32), rng.integers(0, 3, 5)
    for _ in range(3):
        compiled(x, y)
    assert "= by_threads(" in compiled.source
    large = tg.compile(lambda a, b: a @ b)
    for _ in range(3):
        large(np.ones((4, 4)), np.ones((4, 4)))
    assert "np.dot(" in large.source  # the library's threads share it


@pytest.mark.parametrize("count", [1, 2])
def test_a_program_shares_as_the_step_does_and_has_the_library_use_one_thread(count, monkeypatch):
    monkeypatch.setattr(threads, "several", lambda multiplications, worth=0: count)
    seen = []
    one_each = threads.one_each
    monkeypatch.setattr(threads, "one_each", lambda: seen.append(threads._users) or one_each())
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((5, 2, 6, 6), dtype=np.float32), draw.integers(0, 3, 5)
    eager, ours = training()
    step, theirs = training()
    compiled = tg.compile(step)
    for _ in range(4):
        # but for the last digits, as the linear layer's products are shared in the program alone
        assert eager(x, y).item() == pytest.approx(compiled(x, y).item(), rel=1e-6)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=1e-7 * (count > 1))
    seen.clear()
    compiled(x, y)
    # the program itself, and in it what it shares
    assert (seen[:1], set(seen[1:])) == (([0], {1}) if count > 1 else ([], set()))


def test_a_product_has_the_same_bits_whatever_was_shared_before():
    draw = np.random.default_rng(0).standard_normal
    a, b = draw((128, 784), dtype=np.float32), draw((784, 500), dtype=np.float32)
    before = products.multiply(a, b)
    threads.share_products(np.dot, [(a, b), (a, b)])
    np.testing.assert_array_equal(products.multiply(a, b), before)


@pytest.mark.parametrize("call", [1, 2])  # when it enters, and when it leaves
def test_an_interruption_leaves_the_matrix_library_as_it_was(call, monkeypatch):
    if not threads.counts():
        pytest.skip("threadpoolctl, the extra `threads`, is not installed")
    (library, *_), before = threads._libraries(), threads.counts()
    told = []

    def interrupted(number, tell=library.set_num_threads):
        told.append(number)
        if len(told) == call:
            raise KeyboardInterrupt
        tell(number)

    monkeypatch.setattr(library, "set_num_threads", interrupted)
    with pytest.raises(KeyboardInterrupt), threads.one_each():
        pass
    assert (threads._users, threads._here.depth, threads.counts()) == (0, 0, before)
    with threads.one_each():
        assert set(threads.counts()) == {1}
    assert threads.counts() == before
