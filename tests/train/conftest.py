"""A small problem that a small network learns in a few epochs."""

import numpy as np
import pytest

from tinygrad_fm import nn, optim


@pytest.fixture
def blobs():
    """120 points around three centres: x (120, 4) float32, y (120,) int64."""
    random = np.random.default_rng(0)
    y = np.arange(120) % 3
    centres = 2 * random.standard_normal((3, 4))
    return (centres[y] + random.standard_normal((120, 4))).astype(np.float32), y


@pytest.fixture
def batches(blobs):
    """The points as a list of six batches."""
    x, y = blobs
    return [(x[i : i + 20], y[i : i + 20]) for i in range(0, 120, 20)]


@pytest.fixture
def make_model():
    """A function that gives the same new network each time."""

    def make():
        return nn.Sequential(nn.Linear(4, 8, rng=0), nn.ReLU(), nn.Linear(8, 3, rng=1))

    return make


@pytest.fixture
def setting(make_model):
    """A new model, the loss, and an optimizer: the first three arguments of fit."""
    model = make_model()
    return model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01)
