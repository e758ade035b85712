"""Modules that hold other modules, and the reshaping between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_fm.nn.module import Module


class Sequential(Module):
    """Modules called one after the other, each on the result of the one before.

    Raises:
        TypeError: a layer that cannot be called, or a class where an instance is meant.
    """

    def __init__(self, *layers: Any):
        for i, layer in enumerate(layers):
            if isinstance(layer, type):
                raise TypeError(
                    f"layer {i} is the class {layer.__name__}; write {layer.__name__}()"
                )
            if not callable(layer):
                raise TypeError(f"layer {i} is {layer!r}, which cannot be called")
        self._layers = list(layers)
        # attributes named by number, so that paths read model.0.weight
        vars(self).update({str(i): layer for i, layer in enumerate(layers)})

    def forward(self, x: Any) -> Any:
        """The last layer's result."""
        for layer in self._layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._layers)

    def __getitem__(self, index: int | slice) -> Any:
        """A layer, or a Sequential of several, with the same parameters."""
        found = self._layers[index]
        return Sequential(*found) if isinstance(index, slice) else found


class Flatten(Module):
    """(N, ...) to (N, product of the rest)."""

    def forward(self, x: Any) -> Any:
        """Shape (N, features)."""
        if np.ndim(x) == 2:
            return x
        return np.reshape(x, (np.shape(x)[0], -1))
