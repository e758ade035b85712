"""Modules of loops that Numba compiles for a dtype, and which convolutions they compute."""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import sys
import warnings
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tinygrad_fm import fast
from tinygrad_fm.rules import gemm, lines, nonzeros, squares
from tinygrad_fm.rules.plan import Plan

Array = Any

# Multiplications of a convolution, as the sum itself, from which on loops take less time.
LARGE = 1_000_000


def fit(plan: Plan, n: int, c: int, o: int, dtype: Any) -> bool:
    """Whether loops compute such a convolution, of n images, c channels and o kernels.

    It depends on nothing that a process did before: the last digits of what the loops compute are
    not those of NumPy's ways, and the same program is to give the same numbers each time.
    """
    multiplications = n * math.prod(plan.out) * math.prod(plan.kernel) * c * o
    return multiplications >= LARGE and plan.groups == 1 and there_are(dtype)


@functools.cache
def there_are(dtype: Any) -> bool:
    """Whether there are loops for this dtype; the first time Numba is imported.

    Raises:
        ValueError: TINYGRAD_FM_FAST is none of its values.
    """
    fast.setting()
    dtype = np.dtype(dtype)
    name = dtype.name  # which takes microseconds
    here = dtype.isnative and name in fast.DTYPES
    return here and fast.why_not() is None and gemm.address(name) != 0


def are_plain(*arrays: Array) -> bool:
    """Whether these are NumPy arrays of one dtype in C order."""
    first = arrays[0].dtype
    return all(type(a) is np.ndarray and a.flags.c_contiguous and a.dtype == first for a in arrays)


def _announce(what: str) -> None:
    """Tell who sits before a terminal why nothing happens."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(
            f"tinygrad_fm compiles loops for {what}, which takes 3 to 10 seconds, "
            f"once on this machine ({fast.VARIABLE}=0 does without)",
            file=sys.stderr,
        )


@functools.cache
def _text(module: ModuleType, dtype: str) -> str:
    """What is compiled of a module, and kept on disk."""
    # of that these are a part, whose texts are elsewhere
    parts = "".join(map(inspect.getsource, (gemm, lines, nonzeros, squares)))
    told = f"{dtype} {hashlib.sha256(parts.encode()).hexdigest()}"
    return f"{inspect.getsource(module)}# {told}\n"


def is_kept(module: ModuleType, dtype: Any) -> bool:
    """Whether `compiled` was called before on this machine, and what it made is on disk."""
    try:
        return fast.is_kept(_text(module, np.dtype(dtype).name))
    except Exception:  # as for `compiled`, which then warns
        return False


@functools.cache
def compiled(
    module: ModuleType,
    dtype: Any,
    signatures: Callable[[str], dict[str, fast.Arguments]],
    what: str = "convolutions",
) -> Any:
    """Functions of a module, compiled, by their names, and the address of the `product` they call.

    None, with a warning, where Numba cannot.
    """
    name = np.dtype(dtype).name
    what = f"{what} of {name}"
    try:
        wanted = signatures(name)
        text = _text(module, name)
        if not fast.is_kept(text):
            _announce(what)
        made = fast.functions(text, wanted)
    except Exception as error:  # a version of Numba, say, that does not do what others do
        warnings.warn(
            f"{what} are computed by NumPy, as {module.__name__} could not be compiled: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return SimpleNamespace(product=gemm.address(name), **dict(zip(wanted, made, strict=True)))
