"""check_grads: hold a function's automatic derivatives against numerical ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_fm.testing.flat import Flat
from tinygrad_fm.testing.numeric import Slopes, Vector, slopes
from tinygrad_fm.testing.report import GradientReport, Kink
from tinygrad_fm.testing.snippet import name_of, reproduce
from tinygrad_fm.transforms import LostGradientWarning, jvp, vjp

# Relative tolerances by the narrowest dtype of arguments and results. float64: with a complex step,
# with central differences. A narrower dtype is held against numbers computed in float64.
TOLERANCES: dict[str, tuple[float, float]] = {
    "float64": (1e-9, 1e-6),
    "float32": (1e-3, 1e-3),
    "float16": (5e-2, 5e-2),
}
_MODES = {"rev": "reverse mode", "fwd": "forward mode"}


def check_grads(
    f: Callable[..., Any],
    *args: Any,
    order: int = 2,
    modes: tuple[str, ...] = ("rev", "fwd"),
    rtol: float | None = None,
    atol: float | None = None,
    elements: int = 32,
    seed: int = 0,
) -> GradientReport:
    """Compare the automatic derivatives of `f` with numerical ones.

    The numbers come from `f` on plain arrays: by a complex step where f is analytic, which has no
    rounding error, else by central differences. Where the slopes before and behind a point differ,
    no derivative exists; such kinks are listed in the report and not compared.

    Args:
        f: a function written in NumPy; its result is an array, a number, or a container of them.
        *args: where. Floats, float arrays, float Tensors and containers of them are differentiated
            by; anything else (integers, masks, strings) is passed on.
        order: 1 for the first derivatives, 2 for those of the gradient as well, and so on.
        modes: "rev" compares vector-Jacobian products, "fwd" Jacobian-vector products.
        rtol: relative tolerance, by default that of the narrowest dtype in `TOLERANCES` (float64
            1e-9 with a complex step and 1e-6 with central differences; float32 1e-3; float16 5e-2).
        atol: absolute tolerance, by default rtol / 100.
        elements: how many elements of the arguments are varied one at a time (an eighth of it, but
            4 at least, for higher orders). Where there are more, a random sample is, and a random
            direction through all of them.
        seed: of the random sample, directions and weights.

    Returns:
        what was compared: print it.

    Raises:
        AssertionError: a derivative is wrong. The message names f, the argument and its element,
            gives both numbers and their relative error, and a snippet that shows it again.
        TypeError: no argument is a float. ValueError: an unknown mode, an order below 1, or f has
            no finite result at these arguments.
    """
    unknown = [mode for mode in modes if mode not in _MODES]
    if unknown or not modes or order < 1:
        raise ValueError(
            f"modes are some of {tuple(_MODES)} and order is 1 or more, not {modes!r} and {order!r}"
        )
    name = name_of(f)
    with np.errstate(all="ignore"):
        flat = Flat(f, args)
    if not flat.points:
        kinds = ", ".join(type(a).__name__ for a in args) or "none"
        raise TypeError(
            f"check_grads({name}) needs an argument of floats to differentiate by, not {kinds}; "
            "write 1.0 instead of 1, or x.astype(float)"
        )
    if not flat.output_shapes:
        raise TypeError(
            f"check_grads({name}): no result is a float, so there is no derivative to compare; the "
            "function ends in a comparison, an index or a rounding to integers"
        )
    report = GradientReport(name, order, tuple(modes))
    again = {"rtol": rtol, "atol": atol, "elements": elements, "seed": seed}
    defaults: dict[str, Any] = {"rtol": None, "atol": None, "elements": 32, "seed": 0}
    options = {k: v for k, v in again.items() if v != defaults[k]}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", LostGradientWarning)  # the comparison says it in numbers
        for level in range(1, order + 1):
            if not np.isfinite(flat.value).any() and flat.value.size:
                raise ValueError(
                    f"check_grads({name}): no result is finite at these arguments, so there is no "
                    "derivative to compare; choose arguments inside the function's domain"
                )
            check = _Level(flat, level, report, rtol, atol, elements, np.random.default_rng(seed))
            for mode in modes:
                failure = check.reverse() if mode == "rev" else check.forward()
                if failure:
                    snippet = reproduce(f, args, {"order": level, "modes": (mode,), **options})
                    head = f"check_grads({name}): wrong derivative in {_MODES[mode]}, order {level}"
                    raise AssertionError(f"{head}\n{failure}\n\nTo see it again:\n\n{snippet}")
            flat = flat.gradient(check.weights)
    return report


class _Level:
    """The comparison of one order: numerical slopes along some directions, and the two modes."""

    def __init__(
        self,
        flat: Flat,
        order: int,
        report: GradientReport,
        rtol: float | None,
        atol: float | None,
        elements: int,
        rng: np.random.Generator,
    ):
        self.flat, self.order, self.report = flat, order, report
        self.tolerances = TOLERANCES[flat.narrowest] if rtol is None else (rtol, rtol)
        self.atol = atol
        self.rng = rng
        self.finite = np.isfinite(flat.value)
        report.infinite += int(np.sum(~self.finite))
        self.weights = np.where(self.finite, _away_from_zero(rng, flat.value.size), 0)
        n = flat.vector.size
        if order > 1:
            elements = max(4, elements // 8)
        chosen = np.arange(n) if n <= elements else np.sort(rng.permutation(n)[:elements])
        self.columns: list[tuple[int | None, Vector, Slopes]] = []
        for i in chosen:
            one = np.zeros(n)
            one[i] = 1
            self.columns.append((int(i), one, self._slopes(one)))
        if len(chosen) < n:
            across = _away_from_zero(rng, n)
            self.columns.append((None, across, self._slopes(across)))
        self.kinked = [i for i, _, found in self.columns if found.kink.any() and i is not None]
        for i, _, found in self.columns:
            if found.kink.any():
                self._note_kink(i, found)

    def _slopes(self, direction: Vector) -> Slopes:
        flat = self.flat
        found = slopes(
            flat, flat.vector, direction, precision=flat.precision, analytic=self.order == 1
        )
        return replace(
            found,
            value=np.where(self.finite, found.value, 0),
            error=np.where(self.finite, found.error, 0),
            kink=found.kink & self.finite,
        )

    def _note_kink(self, i: int | None, found: Slopes) -> None:
        argument, element = self.flat.place(i)
        j = int(np.argmax(found.kink))
        known = {(kink.argument, kink.element) for kink in self.report.kinks}
        if (argument, element) not in known:
            self.report.kinks.append(
                Kink(argument, element, self.order, float(found.left[j]), float(found.right[j]))
            )

    def reverse(self) -> str:
        """The gradient of the weighted sum of all results, element by element."""
        flat, weights = self.flat, self.weights
        _, pull = vjp(flat.of_leaves, *flat.points)
        gradient = flat.join(pull(flat.outputs_like(weights)))
        columns = [column for column in self.columns if not column[2].kink.any()]
        if not self.finite.all():  # 0 times infinity: no fault of the rule
            columns = [column for column in columns if not np.isnan(gradient @ column[1])]
        return self._judge(
            got=np.array([gradient[i] if i is not None else gradient @ d for i, d, _ in columns]),
            expected=np.array([weights @ found.value for _, _, found in columns]),
            scale=np.array([np.abs(weights) @ np.abs(found.value) for _, _, found in columns]),
            error=np.array([np.abs(weights) @ found.error for _, _, found in columns]),
            exact=np.array([found.exact[self.finite].all() for _, _, found in columns], dtype=bool),
            place=lambda k: flat.describe(columns[k][0]),
            what="of the result" if flat.value.size == 1 else "of a weighted sum of the results",
        )

    def forward(self) -> str:
        """The derivative of each result along one random direction, kinked elements left out."""
        flat = self.flat
        direction = _away_from_zero(self.rng, flat.vector.size)
        direction[self.kinked] = 0
        _, moved = jvp(flat.of_leaves, tuple(flat.points), tuple(flat.split(direction)))
        got = flat.join(moved)
        found = self._slopes(direction)
        scale, skipped = np.abs(found.value), found.kink | ~self.finite
        for i, _, column in self.columns:
            if i is not None:
                scale = np.maximum(scale, np.abs(direction[i] * column.value))
                skipped |= column.kink & ~np.isfinite(got)  # an infinite slope times the tangent 0
        compared = np.flatnonzero(~skipped)
        return self._judge(
            got=got[compared],
            expected=found.value[compared],
            scale=scale[compared],
            error=found.error[compared],
            exact=found.exact[compared],
            place=lambda k: flat.describe_output(int(compared[k])),
            what="along a random direction of all arguments",
        )

    def _judge(
        self,
        *,
        got: Vector,
        expected: Vector,
        scale: Vector,  # the size of the terms that were added up
        error: Vector,  # of the expected numbers
        exact: Vector,
        place: Callable[[int], str],
        what: str,
    ) -> str:
        """An empty string where all numbers agree, else the worst of them described."""
        rtol = np.where(exact, self.tolerances[0], self.tolerances[1])
        atol = rtol / 100 if self.atol is None else np.full(rtol.shape, self.atol)
        difference = np.abs(got - expected)
        wrong = ~(difference <= rtol * scale + atol + 2 * error)
        relative = difference / np.maximum(np.maximum(scale, np.abs(expected)), 1e-300)
        report = self.report
        report.checked += got.size
        report.exact += int(exact.sum())
        agreed = relative[~wrong & (scale > atol)]
        report.worst = max(report.worst, float(agreed.max(initial=0.0)))
        if not wrong.any():
            return ""
        k = int(np.argmax(np.where(wrong, np.where(np.isnan(relative), np.inf, relative), -1)))
        method = "complex step" if exact[k] else "central differences"
        return (
            f"    {place(k)}: autograd gives {got[k]:.12g}, numerically it is {expected[k]:.12g} "
            f"({method})\n"
            f"    relative error {relative[k]:.3g}, allowed {rtol[k]:.0e}; {wrong.sum()} of "
            f"{got.size} numbers are wrong\n"
            f"    (the derivative {what})"
        )


def _away_from_zero(rng: np.random.Generator, n: int) -> Vector:
    """n numbers of size 0.5 to 1.5, of either sign: none hides its factor."""
    return np.asarray(rng.uniform(0.5, 1.5, n) * rng.choice([-1.0, 1.0], n))
