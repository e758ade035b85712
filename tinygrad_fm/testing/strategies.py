"""Hypothesis strategies for arrays, Tensors, shapes, axes, indices and layers.

    from hypothesis import given
    from tinygrad_fm.testing import strategies as fm

    @given(fm.arrays_for("(m,n),(n,p)->(m,p)"))
    def test_my_product(arrays):
        check_grads(my_product, *arrays)

They shrink towards few axes, few elements, and the numbers 1 and 0. Each says what it leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import SearchStrategy

from tinygrad_fm.tensor import Tensor
from tinygrad_fm.testing import plugin

Shape = tuple[int, ...]
Shapes = SearchStrategy[Shape] | Shape

plugin.register()  # for who has the package on the path without having installed it

LARGEST = 10.0  # magnitude of ordinary numbers: exp and its powers stay finite in float32


def numbers(
    dtype: Any = np.float64,
    *,
    low: float = -LARGEST,
    high: float = LARGEST,
    away_from: Sequence[float] = (),
    distance: float = 0.1,
) -> SearchStrategy[float]:
    """Ordinary floats, from `low` to `high`.

    Left out: NaN, infinities, subnormal numbers, and what is nearer than `distance` to a number in
    `away_from`, such as a kink, at which no derivative exists.

    Args:
        dtype: float16, float32 or float64; each number can be held by it.

    Raises:
        ValueError: a dtype that is no float, or an empty range.
    """
    dtype = _checked_float(dtype)
    if not low < high:
        raise ValueError(f"numbers: low is below high, not {low!r} and {high!r}")
    width = 8 * dtype.itemsize
    floats = st.floats(
        *(float(dtype.type(bound)) for bound in (low, high)), width=width, allow_subnormal=False
    )
    points = tuple(away_from)
    if not points:
        return floats
    return floats.filter(lambda x: all(abs(x - point) >= distance for point in points))


def shapes(
    *, min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 4
) -> SearchStrategy[Shape]:
    """Shapes of arrays, (), (1,), (2, 3), ...

    Left out: axes of length 0 unless `min_side` is 0, and more axes or longer ones than asked for.
    """
    return hnp.array_shapes(
        min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side
    )


def broadcastable_shapes(
    count: int = 2, *, max_dims: int = 3, min_side: int = 1, max_side: int = 4
) -> SearchStrategy[tuple[Shape, ...]]:
    """`count` shapes that NumPy broadcasts together, as (3, 1) and (2,).

    Left out: shapes with an axis of length 0 unless `min_side` is 0.
    """
    return hnp.mutually_broadcastable_shapes(
        num_shapes=count, max_dims=max_dims, min_side=min_side, max_side=max_side
    ).map(lambda found: found.input_shapes)


def axes(ndim: int, *, several: bool = True) -> SearchStrategy[Any]:
    """What `axis=` takes for an array of `ndim` axes: None, an int of either sign, a tuple.

    Left out: tuples where not `several`, repeated axes, and the empty tuple.
    """
    one = st.integers(-ndim, ndim - 1) if ndim else st.nothing()
    choices: SearchStrategy[Any] = st.none() | one
    if several and ndim:
        choices |= hnp.valid_tuple_axes(ndim, min_size=1)
    return choices


def indices(shape: Shape, *, arrays: bool = True) -> SearchStrategy[Any]:
    """What an array of `shape` is indexed with: ints, slices, ..., None, integer arrays, masks.

    Left out: masks and integer arrays where not `arrays`, their mixtures with slices, and indices
    out of bounds.
    """
    found: SearchStrategy[Any] = hnp.basic_indices(shape, allow_newaxis=True)
    if arrays and shape and 0 not in shape:
        found |= hnp.integer_array_indices(shape)
        found |= hnp.arrays(bool, shape)
    return found


def arrays(
    shape: Shapes | None = None,
    dtype: Any = np.float64,
    *,
    elements: SearchStrategy[float] | None = None,
) -> SearchStrategy[Any]:
    """Arrays of floats.

    Left out: memory orders other than C, and views.

    Args:
        shape: a shape or a strategy of shapes; by default `shapes()`.
        dtype: float16, float32 or float64.
        elements: by default `numbers(dtype)`.
    """
    dtype = _checked_float(dtype)
    if shape is None:
        shape = shapes()
    return hnp.arrays(dtype, shape, elements=numbers(dtype) if elements is None else elements)


def tensors(
    shape: Shapes | None = None,
    dtype: Any = np.float64,
    *,
    elements: SearchStrategy[float] | None = None,
    requires_grad: bool | None = None,
    name: str | None = None,
) -> SearchStrategy[Tensor]:
    """Tensors that nothing was computed for; `st.from_type(Tensor)` gives these.

    Left out: results of operations (apply some), dtypes other than floats, and what `arrays` leaves
    out.

    Args:
        shape, dtype, elements: as for `arrays`.
        requires_grad: None for some of either kind.
    """
    flag = st.booleans() if requires_grad is None else st.just(requires_grad)
    return st.builds(
        lambda data, grad: Tensor(data, requires_grad=grad, name=name),
        arrays(shape, dtype, elements=elements),
        flag,
    )


def arrays_for(
    signature: str,
    dtype: Any = np.float64,
    *,
    elements: SearchStrategy[float] | None = None,
    max_dims: int = 1,
    max_side: int = 4,
) -> SearchStrategy[tuple[Any, ...]]:
    """A tuple of arrays that fit a signature, as that of np.matmul or of a layer.

        arrays_for("(m,n),(n,p)->(m,p)")    # two matrices, perhaps stacks of them
        arrays_for("(),()->()")             # two arrays that broadcast

    Left out: axes of length 0, and what `arrays` leaves out.

    Args:
        signature: in NumPy's notation for generalised ufuncs; the result's part may be left out.
        dtype, elements: as for `arrays`.
        max_dims: of the axes before those of the signature, which broadcast.
        max_side: the longest axis.

    Raises:
        ValueError: the signature is none.
    """
    dtype = _checked_float(dtype)
    if not signature.strip():
        raise ValueError("arrays_for: a signature such as '(m,n),(n,p)->(m,p)', not an empty one")
    full = signature if "->" in signature else f"{signature}->()"
    try:
        fitting = hnp.mutually_broadcastable_shapes(
            signature=full, max_dims=max_dims, max_side=max_side, min_side=1
        )
        fitting.validate()
    except Exception as error:
        raise ValueError(
            f"arrays_for: {signature!r} is no signature; write one such as '(m,n),(n,p)->(m,p)'"
        ) from error
    elements = numbers(dtype) if elements is None else elements
    return fitting.flatmap(
        lambda found: st.tuples(
            *(hnp.arrays(dtype, shape, elements=elements) for shape in found.input_shapes)
        )
    )


# ---- layers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerConfiguration:
    """What makes a layer of `nn`, and the shape of an input that fits it.

    layer = getattr(nn, c.kind)(**c.options)
    y = layer(np.ones(c.input_shape))
    """

    kind: str
    options: dict[str, Any]
    input_shape: Shape


def layer_configurations(*kinds: str) -> SearchStrategy[LayerConfiguration]:
    """Layers of several kinds in small sizes, each with an input that fits.

    Left out: containers, Embedding (its input is no float), random layers (Dropout), and training
    on a single example where a layer refuses that.

    Args:
        *kinds: names in `nn`, of those in LAYERS; by default all of them.

    Raises:
        ValueError: another name.
    """
    for kind in kinds:
        if kind not in LAYERS:
            raise ValueError(f"no configurations of {kind!r}; there are {', '.join(LAYERS)}")
    return st.sampled_from(kinds or tuple(LAYERS)).flatmap(lambda kind: LAYERS[kind](kind))


_SIDE = st.integers(1, 4)
_SEED = st.integers(0, 2**16)


@st.composite
def _linear(draw: Callable[..., Any], kind: str) -> LayerConfiguration:
    before, after = draw(_SIDE), draw(_SIDE)
    options = {"inputs": before, "outputs": after, "rng": draw(_SEED)}
    return LayerConfiguration(kind, options, (*draw(shapes(max_dims=2)), before))


@st.composite
def _element_wise(draw: Callable[..., Any], kind: str) -> LayerConfiguration:
    return LayerConfiguration(kind, {}, draw(shapes()))


@st.composite
def _along_an_axis(draw: Callable[..., Any], kind: str) -> LayerConfiguration:
    return LayerConfiguration(kind, {}, draw(shapes(min_dims=1)))


@st.composite
def _batch_norm(draw: Callable[..., Any], kind: str) -> LayerConfiguration:
    channels, batch = draw(_SIDE), draw(st.integers(2, 4))
    rest = (draw(_SIDE), draw(_SIDE)) if kind == "BatchNorm2d" else ()
    return LayerConfiguration(kind, {"features": channels}, (batch, channels, *rest))


@st.composite
def _layer_norm(draw: Callable[..., Any], kind: str) -> LayerConfiguration:
    width = draw(st.integers(2, 4))
    return LayerConfiguration(kind, {"shape": width}, (*draw(shapes(max_dims=2)), width))


@st.composite
def _convolution(draw: Callable[..., Any], kind: str) -> LayerConfiguration:
    groups = draw(st.integers(1, 2))
    before, after = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    size, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    stride = draw(st.integers(1, 2))
    padding = draw(st.integers(0, 2) | (st.just("same") if stride == 1 else st.nothing()))
    reach = dilation * (size - 1) + 1
    height, width = (draw(st.integers(reach, reach + 2)) for _ in range(2))
    options = {
        "channels": before, "outputs": after, "kernel_size": size, "stride": stride,
        "padding": padding, "dilation": dilation, "groups": groups, "rng": draw(_SEED),
    }  # fmt: skip
    return LayerConfiguration(kind, options, (draw(_SIDE), before, height, width))


@st.composite
def _pooling(draw: Callable[..., Any], kind: str) -> LayerConfiguration:
    size, stride = draw(st.integers(1, 3)), draw(st.none() | st.integers(1, 2))
    height, width = (draw(st.integers(size, size + 3)) for _ in range(2))
    options = {"kernel_size": size, "stride": stride}
    return LayerConfiguration(kind, options, (draw(_SIDE), draw(_SIDE), height, width))


LAYERS: dict[str, Callable[[str], SearchStrategy[LayerConfiguration]]] = {
    "Linear": _linear,
    "Conv2d": _convolution,
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "LayerNorm": _layer_norm,
    "MaxPool2d": _pooling,
    "AvgPool2d": _pooling,
    "Softmax": _along_an_axis,
    "LogSoftmax": _along_an_axis,
    **dict.fromkeys(
        ["ReLU", "LeakyReLU", "Tanh", "Sigmoid", "GELU", "SiLU", "Softplus", "ELU", "Identity"],
        _element_wise,
    ),
}


def _checked_float(dtype: Any) -> np.dtype[Any]:
    made = np.dtype(dtype)
    if made.kind != "f" or made.itemsize > 8:
        raise ValueError(f"expected float16, float32 or float64, not {made}")
    return made
