"""Exported convolutions and pooling: plain NumPy, with the numbers of the program."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import nn, optim
from tinygrad_fm.program.plain import INSTEAD
from tinygrad_fm.rules import compiled_images, convolution, products
from tinygrad_fm.rules.plan import Plan

pair = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))


@given(
    image=pair(1, 9),
    kernel=pair(1, 4),
    before=pair(0, 4),
    results=pair(1, 7),
    stride=pair(1, 3),
    dilation=pair(1, 2),
    groups=st.integers(1, 3),
    nco=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    given_out=st.booleans(),
)
def test_each_stands_for_its_counterpart(
    image, kernel, before, results, stride, dilation, groups, nco, given_out
):
    plan = Plan("im2col", image, kernel, before, results, stride, dilation, groups)
    n, c, o = nco
    draw = np.random.default_rng(0).standard_normal
    x, w = draw((n, c * groups, *image)), draw((o * groups, c, *kernel))
    b, g = draw(o * groups), draw((n, o * groups, *results))
    for function, arguments in (
        (convolution.conv2d, (x, w, b)),
        (convolution.conv2d, (x, w, None)),
        (convolution.input_gradient, (g, w)),
        (convolution.weight_gradient, (x, g)),
    ):
        expected = function.function(*arguments, plan)
        out = np.full_like(expected, np.nan) if given_out else None
        found = INSTEAD[function.function](*arguments, tuple(plan), out=out)
        assert out is None or found is out
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        steps = [
            (s, t)
            for s, t, size in zip(found.strides, expected.strides, found.shape, strict=True)
            if size > 1
        ]
        assert all(s == t for s, t in steps)


def test_a_product_by_threads_is_exported_as_one():
    a, b, out = np.ones((2, 3)), np.ones((3, 4)), np.empty((2, 4))
    assert INSTEAD[products.by_threads](a, b, out=out) is out
    np.testing.assert_array_equal(out, 3)


@pytest.mark.parametrize("method", ["im2col", "dft", "tiles"])
def test_an_exported_convolutional_network_goes_on_training(tmp_path, method, monkeypatch):
    monkeypatch.setattr(compiled_images, "LARGE", 1)  # its copies too are others than in a script
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, rng=0, method=method), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3, rng=1, method=method), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(4, 3, rng=2),
    )  # fmt: skip
    optimizer, loss = optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss()

    @tg.compile
    def step(x, y):
        optimizer.zero_grad()
        found = loss(model(x), y)
        found.backward()
        optimizer.step()
        return found

    rng = np.random.default_rng(0)
    batches = [
        (rng.standard_normal((5, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 5))
        for _ in range(7)
    ]
    for batch in batches[:3]:
        step(*batch)
    assert " copyto(" in step.source
    step.export(tmp_path / "network.py")
    expected = [step(*batch).item() for batch in batches[3:]]
    np.savez(tmp_path / "batches.npz", *[a for batch in batches[3:] for a in batch])
    script = """
import json, sys
import numpy as np
import network
given = np.load("batches.npz")
arrays = [given[name] for name in given.files]
losses = [float(network.step(*pair)[0]) for pair in zip(arrays[::2], arrays[1::2])]
assert not any(name.startswith("tinygrad_fm") for name in sys.modules)
print(json.dumps(losses))
"""
    run = [sys.executable, "-c", script]
    found = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(found.stdout), expected, rtol=1e-5)
