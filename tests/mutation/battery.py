"""What a mutant of a rule has to get past: the properties of the rule matrix, case by case."""

import importlib
import signal
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

import numpy as np

from tinygrad_fm import Tensor
from tinygrad_fm.engine import Node, Primitive, sum_to
from tinygrad_fm.graph.build import ancestors
from tinygrad_fm.testing import check_grads

RULES = Path(__file__).parents[1] / "rules"
sys.path.insert(0, str(RULES))
for file in sorted(RULES.glob("cases_*.py")):
    importlib.import_module(file.stem)  # each fills the table
CASES = importlib.import_module("cases").CASES
KINKS = importlib.import_module("test_kinks").TABLE
SERIES = importlib.import_module("test_series")

SECONDS = 10  # a mutant that takes longer does not end
HOMES = ("tinygrad_fm.rules", "tinygrad_fm.functional")
# how a large product is computed, which tests/rules/test_products_in_pieces.py has cases for
ELSEWHERE = "tinygrad_fm.rules.products"


def _record(case):
    arrays = [
        Tensor(a, requires_grad=True) if i in case.floats else a for i, a in enumerate(case.args)
    ]
    return case(*arrays)


def _nodes(case) -> list[Node]:
    y = _record(case)
    parts = y if isinstance(y, (list, tuple)) else [y]
    return ancestors([part.node for part in parts if getattr(part, "node", None) is not None])


def _cases_by_primitive() -> dict[Primitive, list]:
    found = defaultdict(list)
    for row in (case for rows in CASES.values() for case in rows):
        nodes = _nodes(row)
        if nodes and nodes[-1].requires_grad:
            for primitive in {node.primitive for node in nodes if node.primitive is not None}:
                found[primitive].append(row)
    return found


CASES_OF = _cases_by_primitive()


def _rules(primitive: Primitive) -> list[FunctionType]:
    found = [*primitive.rules, primitive.variadic, primitive.joint]
    return [rule for rule in found if isinstance(rule, FunctionType)]


def _helpers(function: FunctionType) -> Iterator[FunctionType]:
    """The functions of the rules' own rooms that a function calls."""
    names = set(function.__code__.co_names)
    for constant in function.__code__.co_consts:
        names |= set(getattr(constant, "co_names", ()))
    for name in sorted(names):
        value = function.__globals__.get(name)
        if (
            isinstance(value, FunctionType)
            and value.__module__.startswith(HOMES)
            and value.__module__ != ELSEWHERE
        ):
            yield value


def functions() -> dict[FunctionType, list]:
    """Every rule, and every function that a rule calls, with the cases that use it."""
    used = defaultdict(list)
    for primitive, cases in CASES_OF.items():
        reached = [rule for rule in _rules(primitive) if rule.__module__.startswith(HOMES)]
        for function in reached:  # the list grows while it is walked
            reached += [helper for helper in _helpers(function) if helper not in reached]
        for function in reached:
            known = {id(case) for case in used[function]}
            used[function] += [case for case in cases if id(case) not in known]
    # un-broadcasting is done once, in the engine, for all ufuncs
    used[sum_to] = [c for cases in CASES_OF.values() for c in cases if _broadcasts(c)]
    return used


def _broadcasts(case) -> bool:
    shapes = {np.shape(case.args[i]) for i in case.floats}
    return len(shapes) > 1


FUNCTIONS = functions()


def _result(case):
    y = _record(case)
    return [np.asarray(part.data) for part in (y if isinstance(y, (list, tuple)) else [y])]


RESULTS = {id(case): _result(case) for cases in CASES_OF.values() for case in cases}


class EndlessError(Exception):
    """A mutant took too long."""


@contextmanager
def limited() -> Iterator[None]:
    """Raise EndlessError after SECONDS, where the system can."""

    def ring(*_: object) -> None:
        raise EndlessError

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_caught(cases: list) -> bool:
    """Whether a property fails: the result, the derivatives to second order, the dtype."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for properties, rows in (
            (_first, cases),
            (_second, cases),
            (_float32, cases),
            (_kink, KINKS),
            (_series, [None]),
        ):
            for row in rows:
                try:
                    with limited():
                        properties(row)
                except Exception:
                    return True
    return False


def _series(_: None) -> None:
    SERIES.test_the_slope_of_sinc_is_right_to_rounding()


def _kink(row) -> None:
    """The derivative at a point that has none is the one the table says."""
    _, function, _, arguments, expected = row
    tensors = [Tensor(np.array(a, float), requires_grad=True) for a in arguments]
    function(*tensors).sum().backward()
    for tensor, gradient in zip(tensors, expected, strict=True):
        np.testing.assert_allclose(tensor.grad.data, gradient, rtol=1e-12)


def _first(case) -> None:
    for found, expected in zip(_result(case), RESULTS[id(case)], strict=True):
        np.testing.assert_array_equal(found, expected)
    check_grads(case.function, *case.args, order=1, modes=("rev",))


def _second(case) -> None:
    check_grads(case.function, *case.args, order=2, modes=("rev", "fwd"))


def _float32(case) -> None:
    """Gradients have the dtype and the shape of their arguments, also where those are float32."""
    for node in _nodes(case):
        assert node.dtype is not None
    arrays = [
        Tensor(a.astype(np.float32), requires_grad=True) if i in case.floats else a
        for i, a in enumerate(case.args)
    ]
    y = case(*arrays)
    part = y[0] if isinstance(y, (list, tuple)) else y
    part.backward(np.ones_like(part.data))
    for tensor in (a for a in arrays if isinstance(a, Tensor)):
        assert tensor.grad is None or tensor.grad.dtype == np.float32
