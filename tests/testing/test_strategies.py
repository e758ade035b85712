"""The strategies of `testing`: what they make fits, shrinks, and leaves out what they say."""

import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import Tensor, nn
from tinygrad_fm.testing import strategies as fm

FLOATS = [np.float16, np.float32, np.float64]


@given(st.sampled_from(FLOATS).flatmap(lambda dtype: st.tuples(st.just(dtype), fm.numbers(dtype))))
def test_numbers_are_ordinary_and_fit_their_dtype(drawn):
    dtype, number = drawn
    assert np.isfinite(number)
    assert abs(number) <= fm.LARGEST
    assert float(dtype(number)) == number
    assert number == 0 or abs(number) >= np.finfo(dtype).tiny


@given(fm.numbers(away_from=[0.0, 1.0], distance=0.25))
def test_numbers_keep_their_distance_from_kinks(number):
    assert min(abs(number), abs(number - 1)) >= 0.25


@given(fm.broadcastable_shapes(3))
def test_shapes_broadcast(shapes):
    assert len(shapes) == 3
    np.broadcast_shapes(*shapes)


@given(fm.shapes(min_dims=1).flatmap(lambda s: st.tuples(st.just(s), fm.axes(len(s)))))
def test_axes_are_taken_by_numpy(drawn):
    shape, axis = drawn
    np.sum(np.ones(shape), axis=axis)


@given(fm.shapes().flatmap(lambda s: st.tuples(st.just(s), fm.indices(s))))
def test_indices_are_in_bounds(drawn):
    shape, index = drawn
    x = Tensor(np.ones(shape), requires_grad=True)
    assert x[index].shape == np.ones(shape)[index].shape


@given(st.sampled_from(FLOATS).flatmap(lambda dtype: fm.arrays(dtype=dtype)))
def test_arrays_are_finite_floats(array):
    assert array.dtype.kind == "f"
    assert np.isfinite(array).all()


@given(fm.tensors())
def test_tensors_are_leaves(tensor):
    assert type(tensor) is Tensor
    assert tensor.is_leaf


def test_tensors_come_with_and_without_a_gradient():
    assert find(fm.tensors(), lambda t: t.requires_grad).shape == ()
    assert find(fm.tensors(), lambda t: not t.requires_grad).shape == ()


@pytest.mark.parametrize("requires_grad", [True, False])
def test_tensors_as_asked(requires_grad):
    tensor = find(fm.tensors((2, 1), np.float32, requires_grad=requires_grad), lambda t: True)
    assert (tensor.shape, tensor.dtype) == ((2, 1), np.float32)
    assert tensor.requires_grad == requires_grad


@given(st.from_type(Tensor))
def test_a_type_is_enough(tensor):
    assert isinstance(tensor, Tensor)


def test_hypothesis_finds_us_by_its_entry_point():
    # as installed; where the package is only on the path, there is no entry point to look at
    from importlib.metadata import entry_points

    names = [e.value for e in entry_points(group="hypothesis")]
    if not any(name.startswith("tinygrad_fm") for name in names):
        pytest.skip("tinygrad_fm is not installed here, only on the path")
    assert "tinygrad_fm.testing.plugin:register" in names


@given(fm.arrays_for("(m,n),(n,p)->(m,p)"))
def test_arrays_fit_a_signature(arrays):
    a, b = arrays
    assert np.matmul(a, b).shape[-2:] == (a.shape[-2], b.shape[-1])


@given(fm.arrays_for("(),()", np.float32))
def test_a_signature_may_lack_its_result(arrays):
    assert np.add(*arrays).dtype == np.float32


@pytest.mark.parametrize("signature", ["", "(m,n", "m,n", "(m)(n)"])
def test_another_signature_is_refused(signature):
    with pytest.raises(ValueError, match=r"'\(m,n\),\(n,p\)->\(m,p\)'"):
        fm.arrays_for(signature)


@pytest.mark.parametrize("strategy", [fm.arrays, fm.tensors, fm.numbers])
def test_dtypes_other_than_floats_are_refused(strategy):
    with pytest.raises(ValueError, match="expected float16, float32 or float64, not int64"):
        strategy(dtype=np.int64)


@given(fm.layer_configurations())
@settings(max_examples=150)
def test_layers_take_the_input_that_comes_with_them(configuration):
    layer = getattr(nn, configuration.kind)(**configuration.options)
    y = layer(np.ones(configuration.input_shape, np.float32))
    assert np.isfinite(y.data).all()


@pytest.mark.parametrize("kind", fm.LAYERS)
def test_every_kind_of_layer_is_reached(kind):
    assert find(fm.layer_configurations(kind), lambda c: True).kind == kind
    assert hasattr(nn, kind)


def test_another_kind_of_layer_is_refused():
    with pytest.raises(ValueError, match="no configurations of 'Conv9d'; there are Linear"):
        fm.layer_configurations("Conv9d")


def test_every_layer_that_takes_floats_has_configurations():
    layers = {
        name
        for name, value in vars(nn).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and not name.endswith("Loss")
    }
    left_out = {
        "Module", "Checkpoint", "Sequential", "ModuleList", "ModuleDict", "Embedding", "Dropout",
        "Flatten", "AdaptiveAvgPool2d", "L1Penalty", "L2Penalty",
    }  # fmt: skip
    assert layers - left_out == set(fm.LAYERS)


def test_importing_the_library_does_not_import_hypothesis():
    import subprocess

    program = "import sys, tinygrad_fm.testing; print('hypothesis' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
    assert tg.testing.strategies is fm
