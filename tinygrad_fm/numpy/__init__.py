"""NumPy, for functions that are differentiated: `import tinygrad_fm.numpy as np`.

All of NumPy's public names are here. Its functions of arrays dispatch on Tensors as they are; what
NumPy decides without asking a Tensor is different here:

- **functions that create arrays** (`zeros`, `empty`, `array`, `linspace`, `eye`, `zeros_like`, ...)
  give Tensors of floats inside a trace, so that a loop may fill them with Tensors. A trace is a
  call of `tg.grad` or another transform, the call of a module, or a `with tracing()` block. Where
  nothing is traced they give plain arrays. Integers and booleans can hold no gradient and are
  plain arrays always: to index, to count and to compare with.
- **lists that hold Tensors** are joined to one: `np.array([[a, b], [c, d]])`, `np.sum([a, b])`,
  `np.maximum([a, b], x)`. Tensors give Tensors whether or not anything is traced.
- **`isinstance(x, np.ndarray)`** is true of a Tensor.
"""

from __future__ import annotations

import types
from typing import Any

import numpy

from tinygrad_fm.numpy.creation import CREATION, creating, tracing
from tinygrad_fm.numpy.kinds import ndarray
from tinygrad_fm.numpy.lists import dispatches, joining
from tinygrad_fm.numpy.tricks import c_, r_

__all__ = [*numpy.__all__, "tracing"]
__version__ = numpy.__version__

_OWN: dict[str, Any] = {"c_": c_, "ndarray": ndarray, "r_": r_, "tracing": tracing}


def _here(name: str, found: Any) -> Any:
    """What stands here for NumPy's object of that name."""
    if name in CREATION:
        return creating(found, False)
    return joining(found) if dispatches(found) else found


class _Room(types.ModuleType):
    """A module of NumPy's with functions of arrays: linalg, fft."""

    def __init__(self, module: types.ModuleType):
        super().__init__(f"{__name__}.{module.__name__.rpartition('.')[2]}", module.__doc__)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = _here("", getattr(self._module, name))
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        return dir(self._module)


def __getattr__(name: str) -> Any:
    """NumPy's object of that name, or what stands for it here."""
    if name in _OWN:
        found = _OWN[name]
    else:
        try:
            found = getattr(numpy, name)
        except AttributeError as error:
            raise AttributeError(f"{error}; tinygrad_fm.numpy has NumPy's names") from None
        if name in ("linalg", "fft"):
            found = _Room(found)
        elif not name.startswith("_"):
            found = _here(name, found)
    globals()[name] = found  # asked for once
    return found


def __dir__() -> list[str]:
    return sorted({*dir(numpy), "tracing"})
