"""Inference: a model's outputs for many examples, batch by batch, in bounded memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from tinygrad_fm.recording import no_grad
from tinygrad_fm.tensor import Tensor, array_of
from tinygrad_fm.trees import leaves, map_tree


@contextlib.contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """Modules in evaluation mode inside the block, and afterwards as each one was."""
    modules = model.modules() if hasattr(model, "modules") else []
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


def predict(model: Callable[[Any], Any], x: Any, batch_size: int) -> Any:
    """See `Module.predict`; `model` may be any function of a batch."""
    total = None
    rows = _Rows(len(x) if _is_array(x) else None)
    for outputs, given in _outputs(model, x, batch_size):
        if total is None:
            total = map_tree(rows.like, outputs)
        rows.add(leaves(outputs), len(given))
        del outputs, given  # not beside those of the next batch
    if total is None:
        raise ValueError(f"predict got no batches: {x!r:.80}")
    rows.end()
    return total


def stream(model: Callable[[Any], Any], x: Any, batch_size: int) -> Iterator[Any]:
    """The outputs for one batch after the other, none of them in the memory of the examples."""
    found = _outputs(model, x, batch_size)
    return (map_tree(partial(_apart, given), outputs) for outputs, given in found)


def _apart(given: Any, output: Any) -> Any:
    """The output, or a copy where a model returns its input, or a view of it."""
    return np.copy(output) if np.may_share_memory(output, given) else output


def _outputs(model: Callable[[Any], Any], x: Any, batch_size: int) -> Iterator[tuple[Any, Any]]:
    """For each batch the outputs as arrays, and the examples as one."""
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"predict: batch_size is a whole number from 1, not {batch_size!r}")
    if isinstance(x, (str, bytes, dict)) or not (_is_array(x) or isinstance(x, Iterable)):
        raise TypeError(
            f"predict takes examples, an array (N, ...), or batches of them, not {x!r:.80}"
        )
    if getattr(x, "shuffle", False):
        raise ValueError(
            f"predict would give the rows in the order in which {x!r:.80} shuffles them, not that "
            "of your examples; pass the arrays, or a Loader with shuffle=False"
        )
    return _each_output(model, _parts(x, batch_size) if _is_array(x) else x)


def _each_output(model: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for number, batch in enumerate(batches, 1):
        given = batch[0] if isinstance(batch, (tuple, list)) and len(batch) == 2 else batch
        if not _is_array(given):
            raise TypeError(
                f"predict: batch {number} is {batch!r:.80}; expected an array (N, ...), or a pair "
                "(x, y) as a Loader gives; write np.asarray(x) for examples in a list"
            )
        with evaluation_mode(model), no_grad():  # only as long as it computes: it may be streamed
            tensor = given if isinstance(given, Tensor) else Tensor(given)
            found = model(tensor)
        yield map_tree(array_of, found), array_of(tensor)
        del found, tensor


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and len(x.shape) > 0


def _parts(x: Any, batch_size: int) -> Iterator[Any]:
    """Consecutive parts without copies; of no examples one part, whose outputs tell the shape."""
    x = x.detach() if isinstance(x, Tensor) else x
    for start in range(0, max(len(x), 1), batch_size):
        yield x[start : start + batch_size]


class _Rows:
    """Arrays that are filled from the front, of a known length or growing."""

    def __init__(self, length: int | None):
        self._length = length
        self._arrays: list[Any] = []
        self._filled = 0

    def like(self, output: Any) -> Any:
        """A new one for outputs of this kind: a row for each example."""
        shape = output.shape[1:] if output.ndim else ()
        self._arrays.append(np.empty((self._length or 0, *shape), output.dtype))
        return self._arrays[-1]

    def add(self, outputs: list[Any], examples: int) -> None:
        """Put the outputs for a batch behind the others.

        Raises:
            ValueError: they have not a row for each example, or are of another shape or dtype than
                those before.
        """
        begin, end = self._filled, self._filled + examples
        found = [(output.shape, output.dtype) for output in outputs]
        expected = [((examples, *a.shape[1:]), a.dtype) for a in self._arrays]
        if found != expected:
            raise ValueError(
                f"predict: the model gave {_said(found)} for {examples} examples; expected "
                f"{_said(expected)}, a row for each example, and the same of each batch; write "
                "stream=True to take the outputs batch by batch"
            )
        for array, output in zip(self._arrays, outputs, strict=True):
            if end > len(array):
                # nobody else has seen it yet
                array.resize((max(2 * begin, end), *array.shape[1:]), refcheck=False)
            array[begin:end] = output
        self._filled = end

    def end(self) -> None:
        """Cut off what was grown in vain."""
        for array in self._arrays:
            if len(array) != self._filled:
                array.resize((self._filled, *array.shape[1:]), refcheck=False)


def _said(kinds: list[tuple[Any, Any]]) -> str:
    return ", ".join(f"{dtype} {shape}" for shape, dtype in kinds)
