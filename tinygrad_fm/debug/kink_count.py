"""Counting the elements of a run that sat exactly on a kink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm import functional
from tinygrad_fm.debug.arrays import plain
from tinygrad_fm.debug.watcher import Watcher
from tinygrad_fm.engine import Primitive, quoted, registry
from tinygrad_fm.functional import activation
from tinygrad_fm.graph.build import near
from tinygrad_fm.rules import elementwise, norms, reductions, windows

On = Callable[..., Any]  # (y, *args, **keywords) -> where an element sits on a kink

_at_zero: On = lambda _y, x, *_rest: x == 0
_equals: On = lambda _y, a, b: a == b
_result_zero: On = lambda y, *_args, **_keywords: y == 0
_at_one: On = lambda _y, x: np.abs(x) == 1
_whole: On = lambda _y, x, *_rest: x == np.rint(x)
_half: On = lambda _y, x, *_rest: np.abs(x - np.trunc(x)) == 0.5


def _at_edges(_y: Any, x: Any, low: Any = None, high: Any = None) -> Any:
    below = np.zeros_like(x, bool) if low is None else x == low
    return below if high is None else below | (x == high)


def _ties(y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """All elements that share an extreme with another."""
    attained = x == reductions.kept(y, x, axis, keepdims)
    return attained & (np.sum(attained, axis=axis, keepdims=True) > 1)


def _pooled_ties(y: Any, x: Any, kernel: Any, stride: Any, out: Any) -> Any:
    """Windows in which the largest pixel is there twice."""
    view = windows.windows(x, kernel, stride, (1, 1))[:, :, : out[0], : out[1]]
    return np.sum(view == y[..., None, None], axis=(-1, -2)) > 1


def _at_root(_y: Any, a: Any, b: Any) -> Any:
    """Where the slope by the base is infinite; a base that is a number has none."""
    b = np.asarray(b)
    return (a == 0) & (b < 1) & (b != 0) & hasattr(a, "dtype")


def _at_norm(y: Any, x: Any, ord: float = 2, axis: Any = None, keepdims: bool = False) -> Any:
    """Elements of a zero vector, and for an order up to 1 all that are 0."""
    return (x == 0) & ((ord <= 1) | (reductions.kept(y, x, axis, keepdims) == 0))


def _sorted_ties(_y: Any, x: Any, axis: int = -1) -> Any:
    """Elements that equal their neighbour in the order."""
    return np.diff(np.sort(x, axis=axis), axis=axis) == 0


# by the function, as the registry knows it, or by the operation itself
_ON: dict[Any, On] = {
    **dict.fromkeys([np.absolute, np.fabs, np.sqrt, np.cbrt, np.log, np.log2, np.log10], _at_zero),
    **dict.fromkeys([np.sign, functional.relu, activation._leaky_relu], _at_zero),
    activation._elu: lambda _y, x, alpha: (x == 0) & (alpha != 1),
    **dict.fromkeys([np.maximum, np.minimum, np.fmax, np.fmin], _equals),
    **dict.fromkeys([np.greater, np.greater_equal, np.less, np.less_equal], _equals),
    **dict.fromkeys([np.max, np.min], _ties),
    windows.max_pool: _pooled_ties,
    elementwise.clip: _at_edges,
    **dict.fromkeys([np.hypot, np.std, np.remainder, np.fmod], _result_zero),
    np.floor_divide: lambda y, a, b: y * b == a,
    **dict.fromkeys([np.floor, np.ceil, np.trunc, np.fix], _whole),
    **dict.fromkeys([np.rint, np.round], _half),
    **dict.fromkeys([np.arcsin, np.arccos, np.arctanh], _at_one),
    np.arccosh: lambda _y, x: x == 1,
    np.power: _at_root,
    np.copysign: _at_zero,
    np.heaviside: _at_zero,
    norms.length: _result_zero,
    norms.power_norm: _at_norm,
    np.argsort: _sorted_ties,  # what np.sort, np.median and quantiles stand on
    np.searchsorted: lambda _y, points, x: np.isin(x, points),  # np.interp
}


@dataclass
class Count:
    """What one operation at one line met: `elements` on a kink, of `total` it looked at."""

    operation: str
    line: str
    module: str
    elements: int = 0
    total: int = 0
    calls: int = 0

    def __str__(self) -> str:
        words = f"{self.operation}: {self.elements:,} of {self.total:,} elements"
        words += f" in {self.calls:,} calls" if self.calls > 1 else ""
        words += f", in {self.module}" if self.module else ""
        return words + (f", at {near(quoted(self.line))}" if self.line else "")


class KinkCount(Watcher):
    """See `kinks`.

    Attributes:
        calls: how many operations that have kinks ran.
    """

    def __init__(self) -> None:
        self.calls = 0
        self._counts: dict[tuple[str, str, str], Count] = {}
        self._on: dict[Primitive, On] = {}
        for key, on in _ON.items():
            found = key if isinstance(key, Primitive) else registry.get(key)
            if found is not None:  # else the function is computed by others, which are counted
                self._on[found] = on

    @property
    def counts(self) -> list[Count]:
        """Those operations that met a kink, the most elements first."""
        met = [count for count in self._counts.values() if count.elements]
        return sorted(met, key=lambda count: -count.elements)

    @property
    def elements(self) -> int:
        """How many elements sat on a kink."""
        return sum(count.elements for count in self._counts.values())

    @property
    def total(self) -> int:
        """How many elements were looked at."""
        return sum(count.total for count in self._counts.values())

    def computed(
        self, primitive: Any, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        """Count in what is recorded; a backward pass that is recorded itself has no part in it."""
        super().computed(primitive, values, keywords, result, node)
        on = self._on.get(primitive)
        if on is None or node is None or self.in_backward:
            return
        arguments = [plain(value) for value in values]
        if not any(getattr(getattr(a, "dtype", None), "kind", "") == "f" for a in arguments):
            return  # integers have no slope
        known = {k: v for k, v in keywords.items() if k in ("axis", "keepdims", "ord")}
        hits = np.asarray(on(result, *arguments, **known))
        module = "" if node.scope is None else node.scope.path()
        key = primitive.name, node.line, module
        count = self._counts.setdefault(key, Count(primitive.name, node.line, module))
        count.elements += int(np.sum(hits))
        count.total += hits.size
        count.calls += 1
        self.calls += 1

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if not self.elements:
            return f"none of {self.total:,} elements sat on a kink, in {self.calls:,} operations"
        head = f"{self.elements:,} of {self.total:,} elements sat on a kink"
        return "\n".join([head, *(f"    {count}" for count in self.counts)])


def kinks() -> KinkCount:
    """Count the elements of a run that sit exactly on a kink, by operation and line.

        with tg.debug.kinks() as found:
            loss = criterion(model(x), y)
        print(found)
        found.counts[0].elements, found.counts[0].line

    Looked at are recorded operations of floats that have a kink, a step or an infinite slope
    somewhere (`docs/kinks.md` says what the derivative is there); a comparison counts too, as the
    threshold of an `np.where`. Of functions that compute by others, such as `hinge_loss`, the
    others are counted. A few elements on a kink are ordinary; many mean that the gradient is the
    table's choice rather than a slope.
    """
    return KinkCount()
