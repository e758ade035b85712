"""The base of optimizers: parameters as views of one flat buffer, updated in cache-sized blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from tinygrad_fm.engine import layout_of, mark_changed
from tinygrad_fm.tensor import Tensor

# A block's weights, gradients, state and scratch fit the second-level cache together.
BLOCK = 32_768
# How often, in steps, state that has decayed to almost nothing is set to zero; see Flat.forget.
FORGET = 128

Array = Any


class Flat:
    """The parameters of one dtype as views of one array, with the state of the optimizer."""

    def __init__(self, parameters: list[Tensor], state: tuple[str, ...]):
        dtype = parameters[0].dtype
        ends = np.cumsum([p.size for p in parameters]).tolist()
        self.parameters = parameters
        self.spans = list(zip([0, *ends[:-1]], ends, strict=True))
        self.values = np.empty(ends[-1], dtype)
        self.gradient = np.empty(ends[-1], dtype)
        self.state = {name: np.zeros(ends[-1], dtype) for name in state}
        self.steps = [0] * len(parameters)
        self.scratch = np.empty(min(BLOCK, ends[-1]), dtype)
        self.negligible = np.finfo(dtype).tiny * 2**20  # as small after FORGET steps at 0.9
        self.views = self._views(self.values)
        self.gradient_views = self._views(self.gradient)
        self.adopt()

    def _views(self, flat: Array) -> list[Array]:
        """Views of `flat` in the shape and the memory order of each parameter."""
        views = []
        for p, (start, end) in zip(self.parameters, self.spans, strict=True):
            layout = layout_of(p.data) or tuple(range(p.ndim))
            view = flat[start:end].reshape([p.shape[i] for i in layout])
            views.append(view.transpose(np.argsort(layout)) if p.ndim > 1 else view)
        return views

    def adopt(self) -> None:
        """Make each parameter's array a view of the flat one, where it is not (any more)."""
        for p, view in zip(self.parameters, self.views, strict=True):
            if p._data is not view:
                np.copyto(view, p._data)
                p._data = view

    def runs(self) -> Iterator[tuple[slice, int]]:
        """Gather the gradients; yield the stretches to update, each with its number of the step.

        A parameter without a gradient is left out: neither it nor its state changes.
        """
        start = end = step = 0
        for i, (p, view) in enumerate(zip(self.parameters, self.gradient_views, strict=True)):
            if p.grad is None:
                continue
            np.copyto(view, p.grad.data)
            self.steps[i] += 1
            first, last = self.spans[i]
            if first != end or self.steps[i] != step:
                if end > start:
                    yield slice(start, end), step
                start, step = first, self.steps[i]
            end = last
            if p.node is not None:
                mark_changed(p.node)
        if end > start:
            yield slice(start, end), step

    def forget(self) -> None:
        """Every FORGET steps, set to zero the state that is about to become subnormal.

        The state of a weight whose gradient stays zero (of a unit that died, say) decays to
        subnormal numbers and stays there, and processors are slow on those: a step of Adam on
        784-128-64-10 took 1.4 ms instead of 0.3 after five epochs of 6,000 images.
        """
        if max(self.steps) % FORGET:
            return
        for array in self.state.values():
            for start in range(0, len(array), BLOCK):
                block = array[start : start + BLOCK]
                size = np.abs(block, out=self.scratch[: len(block)])
                block[size < self.negligible] = 0


class Optimizer:
    """Updates parameters from their gradients.

    A subclass names its `state` arrays and writes `update` for one flat block; everything else
    (several parameters, missing gradients, saving) is here.

    Args:
        parameters: Tensors that require a gradient; one that is given twice counts once.
        lr: learning rate, the factor of the update; may be changed at any time.

    Raises:
        ValueError: no parameters, or a learning rate that is negative or no number.
        TypeError: something that is no Tensor requiring a gradient.
    """

    state: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, parameters: Iterable[Tensor], lr: float):
        self.lr = not_negative(type(self).__name__, "lr", lr)
        if isinstance(parameters, Tensor):
            raise TypeError(f"{type(self).__name__} takes a list of Tensors; write [parameter]")
        unique = list({id(p): p for p in parameters}.values())
        if not unique:
            raise ValueError(
                f"{type(self).__name__} got no parameters; pass model.parameters(), once: a "
                "generator that was read before is empty"
            )
        for p in unique:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind != "f":
                raise TypeError(
                    f"{type(self).__name__} updates Tensors created with requires_grad=True, not "
                    f"{p!r:.80}"
                )
        self.parameters = unique
        self._flats = [
            Flat([p for p in unique if p.dtype == dtype], self.state)
            for dtype in dict.fromkeys(p.dtype for p in unique)
        ]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters:
            p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""
        for flat in self._flats:
            flat.adopt()
            for run, step in flat.runs():
                for start in range(run.start, run.stop, BLOCK):
                    block = slice(start, min(start + BLOCK, run.stop))
                    self.update(
                        flat.values[block],
                        flat.gradient[block],
                        flat.scratch[: block.stop - block.start],
                        step,
                        *(array[block] for array in flat.state.values()),
                    )
            flat.forget()

    def update(self, w: Array, g: Array, scratch: Array, step: int, *state: Array) -> None:
        """Update the weights `w` in place, from their gradient `g`, which may be overwritten.

        Args:
            w, g, scratch, state: arrays of one length; scratch has no meaning before or after.
            step: 1 at the first update.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update method; define one")

    def state_dict(self) -> dict[str, Any]:
        """The settings, and for each parameter (by number) its step count and state arrays."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.settings}
        number = {id(p): i for i, p in enumerate(self.parameters)}
        for flat in self._flats:
            for p, (start, end), step in zip(flat.parameters, flat.spans, flat.steps, strict=True):
                arrays = {name: a[start:end].copy() for name, a in flat.state.items()}
                found[str(number[id(p)])] = {"step": step, **arrays}
        return found

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Continue from a `state_dict()` of the same optimizer over the same parameters.

        Raises:
            ValueError: it has other settings, other parameters, or arrays of another size.
        """
        expected = self.state_dict()
        if values.keys() != expected.keys():
            raise ValueError(
                f"the state has {sorted(values)}, this {type(self).__name__} {sorted(expected)}"
            )
        number = {id(p): i for i, p in enumerate(self.parameters)}
        for flat in self._flats:
            for p, (start, end) in zip(flat.parameters, flat.spans, strict=True):
                for name in flat.state:
                    size = np.size(values[str(number[id(p)])][name])
                    if size != end - start:
                        raise ValueError(
                            f"{name} of parameter {number[id(p)]} has {size} elements, not "
                            f"{end - start}"
                        )
        for name in self.settings:
            setattr(self, name, values[name])
        for flat in self._flats:
            for i, (p, (start, end)) in enumerate(zip(flat.parameters, flat.spans, strict=True)):
                given = values[str(number[id(p)])]
                flat.steps[i] = int(given["step"])
                for name, array in flat.state.items():
                    array[start:end] = np.ravel(given[name])

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)
        count = sum(p.size for p in self.parameters)
        return f"{type(self).__name__}({count:,} parameters, {options})"


def not_negative(owner: str, name: str, value: Any, below: float = float("inf")) -> float:
    """The setting as a float.

    Raises:
        ValueError: it is negative, not finite, or not below the bound.
    """
    number = float(value)
    if not 0 <= number < below:
        limit = "" if below == float("inf") else f" and below {below:g}"
        raise ValueError(f"{owner}: {name} is at least 0{limit}, not {value!r}")
    return number
