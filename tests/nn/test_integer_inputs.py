"""Bytes and other whole numbers as inputs of layers: the numbers of floats, or a refusal."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import functional, nn

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6), dtype=np.uint8)
ROWS = IMAGES[0, 0]


def compare(layer, numbers, **tolerances):
    with tg.no_grad():
        found, expected = layer(numbers), layer(numbers.astype(np.float64))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), **tolerances)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.uint16])
@pytest.mark.parametrize(
    "layer",
    [
        nn.ReLU(),
        nn.LeakyReLU(),
        nn.ELU(),
        nn.GELU(),
        nn.SiLU(),
        nn.Sigmoid(),
        nn.Softplus(),
        nn.Tanh(),
        nn.Softmax(),
        nn.LogSoftmax(),
        nn.LayerNorm(6),
        nn.Linear(6, 2, rng=0),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_takes_whole_numbers_for_the_floats_they_are(layer, dtype):
    numbers = (ROWS // 2).astype(dtype)
    numbers[0, :3] = 0, 127, 100
    compare(layer, numbers, rtol=1e-2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int16])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 2, 3, padding=1, rng=0),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.AvgPool2d(3, stride=2, padding=1),
        nn.AdaptiveAvgPool2d(4),
        nn.BatchNorm2d(3).eval(),
        nn.Flatten(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_an_image_layer_takes_whole_numbers_for_the_floats_they_are(layer, dtype):
    images = IMAGES.astype(dtype) - dtype(200 if dtype != np.uint8 else 0)
    compare(layer, images, rtol=1e-4, atol=1e-3)


def test_dropout_refuses_whole_numbers_which_it_could_not_scale():
    with pytest.raises(TypeError, match=r"dropout takes floats, not uint8; write x.astype"):
        nn.Dropout(0.1, rng=0)(ROWS)


def test_the_loss_of_whole_numbers_as_logits_is_that_of_floats():
    labels = np.arange(6)
    expected = functional.cross_entropy(ROWS.astype(np.float64), labels)
    np.testing.assert_allclose(functional.cross_entropy(ROWS, labels), expected, rtol=1e-3)


@pytest.mark.parametrize("numbers", [(1, 2), [1, 2], np.array([1, 2], np.uint8)])
def test_an_embedding_takes_any_sequence_of_numbers(numbers):
    layer = nn.Embedding(5, 3, rng=0)
    np.testing.assert_array_equal(layer(numbers).data, layer.weight.data[[1, 2]])
