"""The shipped images, and the official ones where they are installed."""

import sys

import numpy as np
import pytest

from tinygrad_fm import data
from tinygrad_fm.data import make_mini, places, read_idx


@pytest.fixture(scope="module")
def full():
    if data.find("fashion-mnist") is None:
        pytest.skip("the full Fashion-MNIST is not on this machine (tinygrad-fm data fetch)")
    return data.load("fashion-mnist")


def test_the_small_set_is_always_there_and_balanced(bare_machine):
    mini = data.load("fashion-mnist-mini")
    assert mini.train_images.shape == (6_000, 28, 28)
    assert mini.test_images.shape == (1_000, 28, 28)
    np.testing.assert_array_equal(np.bincount(mini.train_labels), [600] * 10)
    np.testing.assert_array_equal(np.bincount(mini.test_labels), [100] * 10)
    assert mini.class_names[9] == "Ankle boot"
    assert "Zalando" in mini.licence


def test_the_small_set_is_shuffled(bare_machine):
    mini = data.load("fashion-mnist-mini")
    for start in range(0, 6_000, 1_000):
        counts = np.bincount(mini.train_labels[start : start + 1_000], minlength=10)
        assert 60 < counts.min() <= counts.max() < 140


def test_the_licence_travels_with_the_images():
    text = (places.SHIPPED_FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "Copyright © 2017 Zalando SE" in text
    assert "WITHOUT WARRANTY OF ANY KIND" in text


def test_the_small_set_is_what_the_script_draws(full, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make_mini, "load", lambda name, root: full)
    monkeypatch.setattr(make_mini, "write_idx", lambda path, array: np.save(f"{path}.npy", array))
    monkeypatch.setattr(make_mini, "read_payload", lambda path, *_: np.load(f"{path}.npy"))
    monkeypatch.setattr(sys, "argv", ["make_mini", "--into", str(tmp_path)])
    make_mini.main()
    assert len(capsys.readouterr().out.splitlines()) == 4
    for drawn in tmp_path.iterdir():
        shipped = read_idx(places.SHIPPED_FOLDER / drawn.name.removesuffix(".npy"))
        np.testing.assert_array_equal(np.load(drawn), shipped, strict=True)


def test_the_full_set_has_its_published_mean_and_deviation(full):
    assert full.train_images.shape == (60_000, 28, 28)
    assert full.test_images.shape == (10_000, 28, 28)
    pixels = sum(  # in parts: bincount makes eight bytes of each pixel
        np.bincount(part.ravel(), minlength=256) for part in np.split(full.train_images, 60)
    )
    values = np.arange(256) / 255
    mean = np.average(values, weights=pixels)
    assert round(mean, 5) == 0.28604
    assert round(np.sqrt(np.average((values - mean) ** 2, weights=pixels)), 5) == 0.35302
