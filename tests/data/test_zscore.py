"""Standardising: the three modes against NumPy, zero deviations, and statistics used again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_fm.data import DataError, ZScore, scale, zscore

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 4, 3), dtype=np.uint8)
AXES = {"pixel": 0, "image": (1, 2), "global": None}


@pytest.mark.parametrize("mode", AXES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_modes_are_numpys_mean_and_deviation(mode, dtype, monkeypatch):
    monkeypatch.setattr(zscore, "EXAMPLES_AT_ONCE", 4)  # the last part is a short one
    x = scale(IMAGES, np.float64)
    z = ZScore(mode, dtype).fit(x)(x)
    assert z.dtype == dtype
    axis, keep = AXES[mode], {"keepdims": True}
    expected = (x - x.mean(axis, **keep)) / x.std(axis, **keep)
    np.testing.assert_allclose(z, expected, atol=1e-6 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("mode", AXES)
def test_bytes_are_the_same_as_scaled_bytes(mode):
    prepare = ZScore(mode, np.float64).fit(IMAGES)
    np.testing.assert_allclose(prepare(IMAGES), prepare(scale(IMAGES, np.float64)), atol=1e-13)


def test_statistics_of_the_training_data_are_used_again():
    prepare = ZScore("pixel", np.float64).fit(IMAGES[:5])
    x = scale(IMAGES, np.float64)
    expected = (x[5:] - x[:5].mean(0)) / x[:5].std(0)
    np.testing.assert_allclose(prepare(IMAGES[5:]), expected, atol=1e-12)


def test_per_image_needs_no_fit():
    np.testing.assert_allclose(ZScore("image")(IMAGES).mean((1, 2)), 0, atol=1e-6)


@given(value=st.floats(-1e6, 1e6), count=st.integers(1, 30), mode=st.sampled_from(list(AXES)))
def test_where_all_are_equal_the_result_is_zero(value, count, mode):
    x = np.full((count, 3), value)
    assert not ZScore(mode, np.float64).fit(x)(x).any()


def test_a_pixel_without_deviation_is_only_shifted():
    prepare = ZScore("pixel", np.float64).fit(np.array([[0.1, 1], [0.1, 3], [0.1, 2]]))
    assert prepare.deviation[0] == 1
    np.testing.assert_allclose(prepare([[0.6, 2.0]]), [[0.5, 0]], atol=1e-15)


@pytest.mark.parametrize("mode", AXES)
def test_a_state_gives_the_same_bits(mode):
    fitted = ZScore(mode).fit(IMAGES)
    state = fitted.state_dict()
    loaded = ZScore(mode)
    loaded.load_state_dict(state)
    np.testing.assert_array_equal(loaded(IMAGES), fitted(IMAGES))
    for array in state.values():
        array[...] = 7
    np.testing.assert_array_equal(loaded(IMAGES), fitted(IMAGES))


def test_it_prints_its_mode_and_state():
    assert repr(ZScore()) == "<ZScore pixel, float32, unfitted>"
    assert repr(ZScore("global").fit(IMAGES)) == "<ZScore global, float32, fitted>"
    assert repr(ZScore("image", float)) == "<ZScore image, float64>"


ONE = {"mean": 0.0, "deviation": 1.0}


@pytest.mark.parametrize(
    ("mode", "state", "message"),
    [
        ("global", {"mean": 1.0}, r"a state with \['mean'\]; expected \['deviation', 'mean'\]"),
        ("image", ONE, "expected none: this mode has no statistics"),
        ("pixel", ONE, r"a mean of shape \(\) .*expected the shape of an example"),
        ("global", {"mean": [0.0], "deviation": [1.0]}, r"expected \(\) for both"),
        ("pixel", {"mean": [0.0], "deviation": [1.0, 1.0]}, r"shape \(1,\) .*shape \(2,\)"),
        ("global", {"mean": 0.0, "deviation": 0.0}, "deviation is not positive"),
        ("global", {"mean": np.nan, "deviation": 1.0}, "not finite"),
    ],
)
def test_a_state_of_another_kind_is_refused(mode, state, message):
    with pytest.raises(DataError, match=message):
        ZScore(mode).load_state_dict(state)
