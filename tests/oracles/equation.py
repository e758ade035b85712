"""An equation of a report: as printed, as the library has it, and, where it is wrong, corrected."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import Phase, find, settings
from hypothesis.strategies import SearchStrategy

REPORTS = {"000": "Zheng", "001": "Cheng", "002": "Dewangan", "003": "Korssjoen", "004": "Kong"}
REGISTRY: list[Equation] = []

AGREES = 1e-12  # relative to the largest number of the answer
DIFFERS = 1e-3  # a counterexample is one that can be seen without a microscope

_SEARCH = settings(
    max_examples=1000,
    derandomize=False,  # the seeds are given
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
)


@dataclass(frozen=True)
class Example:
    """Numbers that somebody worked out independently, rounded to the digits they are written in."""

    case: tuple[Any, ...]
    printed: Any
    true: Any
    rounded: float  # half a unit of the last digit


@dataclass(eq=False)
class Equation:
    """One equation; calling it evaluates the printed form, in plain NumPy.

    `says` and `correction` are LaTeX. `given` draws cases (tuples of arguments), and `library` is
    what the public API makes of a case, which `printed` must equal (`right`) or must not.
    """

    report: str
    number: str
    says: str
    of: str  # the public names that are held to it
    given: SearchStrategy[tuple[Any, ...]]
    library: Callable[..., Any]
    printed: Callable[..., Any]
    right: bool
    errata: str
    why: str
    within: float  # how far the two may be apart, relative to the largest number
    correction: str = ""
    corrected_form: Callable[..., Any] | None = None
    corrected_given: SearchStrategy[tuple[Any, ...]] | None = None
    corrected_library: Callable[..., Any] | None = None
    examples: list[Example] = field(default_factory=list)

    def __call__(self, *case: Any) -> Any:
        return self.printed(*case)

    def __str__(self) -> str:
        return f"{self.report} {self.number} {self.printed.__name__}"

    def corrected(
        self,
        says: str,
        *,
        given: SearchStrategy[tuple[Any, ...]] | None = None,
        library: Callable[..., Any] | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Give the corrected form; `given` and `library` where the truth has other arguments."""

        def register(form: Callable[..., Any]) -> Callable[..., Any]:
            self.correction, self.corrected_form = says, form
            self.corrected_given = self.given if given is None else given
            self.corrected_library = self.library if library is None else library
            return form

        return register

    def example(self, *case: Any, printed: Any = None, true: Any = None, rounded: float) -> None:
        """Add numbers of the errata; None is left unchecked."""
        self.examples.append(Example(case, printed, true, rounded))

    @functools.cached_property
    def counterexample(self) -> tuple[Any, ...]:
        """The smallest case in which the printed form is visibly not what the library has.

        The simplest of three searches, each from a fixed seed and shrunk by Hypothesis.

        Raises:
            hypothesis.errors.NoSuchExample: the printed form is right.
        """

        def wrong(case: tuple[Any, ...]) -> bool:
            return differ(evaluate(self.printed, case), evaluate(self.library, case))

        found = [
            find(self.given, wrong, settings=_SEARCH, random=random.Random(i)) for i in range(3)
        ]
        return min(found, key=_simplicity)


def equation(
    report: str,
    number: str,
    *,
    says: str,
    of: str,
    given: SearchStrategy[tuple[Any, ...]],
    library: Callable[..., Any],
    right: bool = True,
    errata: str = "",
    why: str = "",
    within: float = AGREES,
) -> Callable[[Callable[..., Any]], Equation]:
    """Register the function below as the printed form of an equation."""

    def register(printed: Callable[..., Any]) -> Equation:
        made = Equation(
            report, number, says, of, given, library, printed, right, errata, why, within
        )
        REGISTRY.append(made)
        return made

    return register


def _simplicity(case: tuple[Any, ...]) -> tuple[Any, ...]:
    """Few numbers, then few but 0, then quickly typed, small, positive ones: a strict order."""
    flat = np.concatenate([np.ravel(np.asarray(part, float)) for part in case])
    digits = sum(len(f"{abs(x):g}") for x in flat)
    flat = np.nan_to_num(flat, nan=1e9)
    size = np.sum(np.abs(flat))
    return len(flat), np.count_nonzero(flat), digits, size, np.count_nonzero(flat < 0), tuple(flat)


def evaluate(form: Callable[..., Any], case: tuple[Any, ...]) -> Any:
    """The arrays that a form makes of copies of a case, or the exception that it raises."""
    copies = [np.copy(a) if isinstance(a, np.ndarray) else a for a in case]
    try:
        with np.errstate(all="ignore"):  # some printed forms overflow, which is the point
            return arrays_of(form(*copies))
    except (IndexError, TypeError, ValueError) as error:
        return error


def arrays_of(answer: Any) -> list[Any]:
    """An answer as a list of float arrays."""
    parts = answer if isinstance(answer, (tuple, list)) else (answer,)
    return [
        np.asarray(getattr(p, "data", p) if not isinstance(p, np.ndarray) else p, float)
        for p in parts
    ]


def distance(one: Any, other: Any) -> float:
    """The largest difference, relative to the largest number; infinite where there is no number."""
    if isinstance(one, Exception) or isinstance(other, Exception):
        return np.inf
    if [a.shape for a in one] != [b.shape for b in other]:
        return np.inf
    flat = [np.concatenate([a.ravel() for a in x]) for x in (one, other)]
    if not np.isfinite(flat).all():
        return 0.0 if np.array_equal(*flat, equal_nan=True) else np.inf
    scale = max(1.0, float(np.max(np.abs(flat), initial=0.0)))
    return float(np.max(np.abs(flat[0] - flat[1]), initial=0.0)) / scale


def differ(one: Any, other: Any) -> bool:
    return distance(one, other) > DIFFERS


def names_of(form: Callable[..., Any]) -> list[str]:
    """The names of a form's arguments."""
    return list(inspect.signature(form).parameters)
