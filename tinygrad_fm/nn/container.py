"""Modules that hold other modules, and the reshaping between them."""

from __future__ import annotations

import math
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

import numpy as np

from tinygrad_fm.checkpointing import checkpoint
from tinygrad_fm.nn.module import Module
from tinygrad_fm.tensor import shape_of


def _checked(kind: str, layers: Iterable[Any]) -> list[Any]:
    """The layers as a list.

    Raises:
        TypeError: one that cannot be called, or a class where an instance is meant.
        ValueError: a layer with state of its own that stands in two places.
    """
    checked = list(layers)
    for i, layer in enumerate(checked):
        if isinstance(layer, type):
            raise TypeError(f"layer {i} is the class {layer.__name__}; write {layer.__name__}()")
        if not callable(layer):
            hint = "; write Sequential(*layers)" if isinstance(layer, (list, tuple)) else ""
            raise TypeError(f"layer {i} is {layer!r:.60}, which cannot be called{hint}")
        if getattr(layer, "stateful", False) and any(layer is other for other in checked[:i]):
            raise ValueError(
                f"layer {i} of {kind} is a {type(layer).__name__} that stands there already; its "
                "running statistics would mix two places: use one layer object for each"
            )
    return checked


class ModuleList(Module):
    """A list of modules; a plain list as an attribute does the same."""

    def __init__(self, modules: Iterable[Any] = ()):
        self.items = _checked("ModuleList", modules)

    def append(self, module: Any) -> ModuleList:
        """Add a module at the end; returns the list."""
        self.items = _checked("ModuleList", [*self.items, module])
        return self

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class ModuleDict(Module):
    """Modules by name; a plain dictionary as an attribute does the same."""

    def __init__(self, modules: Mapping[str, Any] | None = None):
        modules = dict(modules or {})
        _checked("ModuleDict", modules.values())
        # kept under this name, so that paths read model.items.a.weight, beside the property
        vars(self)["items"] = modules

    @property
    def items(self) -> Callable[[], ItemsView[str, Any]]:
        """`items()` gives pairs (name, module), as that of a dictionary."""
        return self._modules.items

    @property
    def _modules(self) -> dict[str, Any]:
        found: dict[str, Any] = vars(self)["items"]
        return found

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> ValuesView[Any]:
        """The modules."""
        return self._modules.values()

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __setitem__(self, name: str, module: Any) -> None:
        self._modules[name] = _checked("ModuleDict", [module])[0]


class Sequential(Module):
    """Modules called one after the other, each on the result of the one before.

    Raises:
        TypeError: a layer that cannot be called, or a class where an instance is meant.
        ValueError: a layer with state of its own that stands in two places.
    """

    def __init__(self, *layers: Any):
        # attributes named by number, so that paths read model.0.weight
        vars(self).update({str(i): layer for i, layer in enumerate(_checked("Sequential", layers))})

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name.isdigit():
            vars(self).pop("_layers", None)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        vars(self).pop("_layers", None)

    def _names(self) -> list[str]:
        return [name for name in vars(self) if name.isdigit()]

    def append(self, layer: Any) -> Sequential:
        """Add a layer at the end; returns the Sequential."""
        _checked("Sequential", [*self.layers(), layer])
        setattr(self, str(1 + max(map(int, self._names()), default=-1)), layer)
        return self

    def __setitem__(self, index: int, layer: Any) -> None:
        """Put another layer in the place of one."""
        others = list(self.layers())
        others[index] = layer
        _checked("Sequential", others)
        setattr(self, self._names()[index], layer)

    def layers(self) -> tuple[Any, ...]:
        """The layers in order."""
        own = vars(self)
        found: tuple[Any, ...] | None = own.get("_layers")
        if found is None:
            found = own["_layers"] = tuple(v for name, v in own.items() if name.isdigit())
        return found

    def forward(self, x: Any) -> Any:
        """The last layer's result."""
        for layer in self.layers():
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers())

    def __getitem__(self, index: int | slice) -> Any:
        """A layer, or a Sequential of several, with the same parameters."""
        found = self.layers()[index]
        return Sequential(*found) if isinstance(index, slice) else found


class Checkpoint(Module):
    """A module, or a function, whose inside is computed again for the backward pass.

    See `tinygrad_fm.checkpoint`. In a drawing it is a cluster of its own.

        nn.Sequential(*[nn.Checkpoint(block()) for _ in range(24)], nn.Linear(64, 10))
    """

    def __init__(self, module: Callable[..., Any]):
        self.module = module

    def forward(self, *args: Any, **keywords: Any) -> Any:
        """What the module gives."""
        return checkpoint(self.module, *args, **keywords)


class Flatten(Module):
    """(N, ...) to (N, product of the rest)."""

    def forward(self, x: Any) -> Any:
        """Shape (N, features)."""
        shape = shape_of(x)
        if len(shape) == 2:
            return x
        if not shape:
            raise ValueError("Flatten takes a batch of shape (N, ...), not a single number")
        return np.reshape(x, (shape[0], math.prod(shape[1:])))  # -1 says nothing where N is 0
