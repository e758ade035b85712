"""The calculus of choosing among arrays: select, choose, piecewise, and what replaces a NaN."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_fm.engine import rewrite
from tinygrad_fm.rules.indexing import getitem, set_at


def _select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """For each element the first choice whose condition holds."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select takes a choice for each condition, not {len(choicelist)} choices for "
            f"{len(condlist)} conditions"
        )
    chosen = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        chosen = np.where(condition, choice, chosen)
    return chosen


def _choose(a: Any, choices: Sequence[Any], *, mode: str = "raise") -> Any:
    """For each element of `a`, a number of a choice, the element of that choice."""
    count = len(choices)
    a = a if hasattr(a, "dtype") else np.asarray(a)
    if mode == "wrap":
        a = np.remainder(a, count)
    elif mode == "clip":
        a = np.clip(a, 0, count - 1)
    elif np.any((a < 0) | (a >= count)):
        raise ValueError(f"choose got numbers that are not within 0 and {count - 1}: {a}")
    chosen = choices[0]
    for i, choice in enumerate(choices[1:], 1):
        chosen = np.where(a == i, choice, chosen)
    return np.broadcast_to(chosen, np.broadcast_shapes(np.shape(a), *map(np.shape, choices)))


def _piecewise(
    x: Any, condlist: Any, funclist: Sequence[Any], *arguments: Any, **keywords: Any
) -> Any:
    """Each function (or number) where its condition holds; one more is for all other elements."""
    if not isinstance(condlist, (list, tuple)) or isinstance(condlist[0], bool):
        condlist = [condlist]
    conditions = [c if hasattr(c, "dtype") else np.asarray(c) for c in condlist]
    if len(funclist) == len(conditions) + 1:
        known = conditions[0]
        for condition in conditions[1:]:
            known = known | condition
        conditions.append(~known)
    if len(funclist) != len(conditions):
        raise ValueError(
            f"piecewise takes a function for each of {len(conditions)} conditions, and one more "
            f"for the rest if wanted, not {len(funclist)}"
        )
    result = np.zeros_like(x)
    for condition, function in zip(conditions, funclist, strict=True):
        value = function
        if isinstance(function, Callable):  # type: ignore[arg-type]
            value = function(getitem(x, condition), *arguments, **keywords)
        result = set_at(result, value, condition)
    return result


def _nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """Numbers in place of NaN and the infinities; the gradient passes where x is finite."""
    if x.dtype.kind != "f":
        return np.copy(x)
    limits = np.finfo(x.dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    # NumPy writes them into a copy of x, whose dtype stays
    given: tuple[Any, ...] = (nan, high, low)
    nan, high, low = [n.astype(x.dtype) if hasattr(n, "dtype") else n for n in given]
    return np.where(
        np.isnan(x), nan, np.where(np.isposinf(x), high, np.where(np.isneginf(x), low, x))
    )


rewrite(np.select, _select)
rewrite(np.choose, _choose)
rewrite(np.piecewise, _piecewise)
rewrite(np.nan_to_num, _nan_to_num)
