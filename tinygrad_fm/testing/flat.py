"""A function of nested arguments seen as a function of one vector: of all the floats in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_fm.recording import no_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.testing.numeric import Vector
from tinygrad_fm.transforms import vjp
from tinygrad_fm.trees import leaves, rebuild


class Flat:
    """`f` at `args`, as a function of a vector of n floats that returns a vector of m floats.

    Called with a vector it computes on plain float64 or complex128 arrays, whatever the dtype of
    the arguments. `of_leaves` computes on arrays or Tensors of the arguments' own dtypes.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        names: Sequence[str] | None = None,
        precision: float = 0.0,
    ):
        self.f = f
        self.args = args
        every = [_plain(leaf) for leaf in leaves(args)]
        self.positions = [i for i, leaf in enumerate(every) if _is_float(leaf)]
        self.every = every
        self.points = [np.asarray(every[i]) for i in self.positions]
        paths = names or [path for i, a in enumerate(args) for path in _paths(a, f"argument {i}")]
        self.names = [paths[i] for i in self.positions] if names is None else list(names)
        self.shapes = [point.shape for point in self.points]
        self.ends = np.cumsum([point.size for point in self.points])
        self.vector = np.concatenate([p.ravel() for p in self.points] or [np.zeros(0)]).astype(
            float
        )
        if not self.points:
            return
        self.kept: list[int] | None = None  # which results are floats
        self.as_tensors = False  # f uses methods that plain arrays lack
        try:
            results = self.plainly(self.points)
        except AttributeError:
            self.as_tensors = True
            results = self.plainly(self.points)
        self.output_shapes = [y.shape for y in results]
        dtypes = [v.dtype for v in (*self.points, *results)]
        self.narrowest = min(dtypes, key=lambda d: d.itemsize).name
        self.value = self(self.vector)
        wide = [np.finfo(d).eps for d in self.wide_dtypes]
        self.precision = float(max([precision, *wide]))

    def of_leaves(self, *values: Any) -> list[Any]:
        """The float results of f, with `values` in place of the floats in its arguments."""
        every = list(self.every)
        for i, value in zip(self.positions, values, strict=True):
            every[i] = value
        results = leaves(self.f(*rebuild(self.args, every)))
        if self.kept is None:
            self.kept = [i for i, y in enumerate(results) if _is_float(_plain(y))]
        return [results[i] for i in self.kept]

    def __call__(self, vector: Vector) -> Vector:
        """The results as one vector, computed on plain arrays."""
        results = self.plainly(self.split(vector, wide=True))
        self.wide_dtypes = [y.dtype for y in results]
        joined = np.concatenate([y.ravel() for y in results] or [np.zeros(0)])
        return joined.astype(complex if joined.dtype.kind == "c" else float)

    def plainly(self, parts: Sequence[Any]) -> list[Any]:
        """The float results as plain arrays; f gets copies, and numbers for arrays without axes."""
        given: list[Any] = [part.copy()[()] for part in parts]
        with no_grad():
            if self.as_tensors:
                given = [Tensor(part) for part in given]
            return [np.asarray(_plain(y)) for y in self.of_leaves(*given)]

    def gradient(self, weights: Vector) -> Flat:
        """The gradient of the weighted sum of the results, as a function of the same arguments."""
        seeds = self.outputs_like(weights)

        def gradient(*values: Any) -> Any:
            return vjp(self.of_leaves, *values)[1](seeds)

        return Flat(gradient, tuple(self.points), self.names, self.precision)

    def split(self, vector: Vector, wide: bool = False) -> list[Any]:
        """A vector of n numbers in the shapes (and, unless wide, dtypes) of the floats."""
        parts = zip(np.split(vector, self.ends[:-1]), self.points, strict=True)
        return [
            part.reshape(point.shape).astype(vector.dtype if wide else point.dtype)
            for part, point in parts
        ]

    def outputs_like(self, vector: Vector) -> list[Any]:
        """A vector of m numbers as arrays in the shapes of the results."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.output_shapes])
        parts = np.split(vector, ends)[:-1]
        return [p.reshape(s) for p, s in zip(parts, self.output_shapes, strict=True)]

    @staticmethod
    def join(parts: Sequence[Any]) -> Vector:
        """Arrays as one float64 vector."""
        arrays = [np.asarray(_plain(p), dtype=float).ravel() for p in parts]
        return np.concatenate(arrays or [np.zeros(0)])

    def place(self, i: int | None) -> tuple[str, tuple[int, ...] | None]:
        """The argument that entry i of the vector belongs to, and the element; None: of no one."""
        if i is None:
            return "the arguments, along a random direction", None
        which = int(np.searchsorted(self.ends, i, side="right"))
        start = int(self.ends[which]) - self.points[which].size
        return self.names[which], _element(i - start, self.shapes[which])

    def describe(self, i: int | None) -> str:
        """Entry i of the vector of arguments, in words."""
        name, element = self.place(i)
        return f"{name}, element {element}" if element else name

    def describe_output(self, j: int) -> str:
        """Entry j of the vector of results, in words."""
        for number, shape in enumerate(self.output_shapes):
            size = int(np.prod(shape))
            if j < size:
                which = "the result" if len(self.output_shapes) == 1 else f"result {number}"
                return f"{which}, element {_element(j, shape)}" if shape else which
            j -= size
        raise IndexError(j)


def _element(i: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(i, shape)) if shape else ()


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f"


def _paths(tree: Any, name: str) -> list[str]:
    """The names of the values in a tree, in the order of `leaves`."""
    if isinstance(tree, dict):
        return [path for key, value in tree.items() for path in _paths(value, f"{name}[{key!r}]")]
    if isinstance(tree, (list, tuple)):
        return [path for i, value in enumerate(tree) for path in _paths(value, f"{name}[{i}]")]
    return [name]
