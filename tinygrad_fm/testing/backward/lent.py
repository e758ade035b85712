"""Parameters that are global variables of a person's file, lent to each run and taken back."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinygrad_fm.testing.backward.places import is_float, places
from tinygrad_fm.testing.backward.problem import Problem, World
from tinygrad_fm.testing.backward.roles import role_of


def with_globals(problem: Problem) -> Problem:
    """The problem, with the global arrays of floats that its functions use among its objects."""
    scopes = [vars_of(function) for function in problem.functions]
    scope = next((s for s in scopes if s), {})
    names = [n for n in _used(problem.functions, scope) if n not in problem.world]
    if not names:
        return problem
    forward, backward, step = problem.forward, problem.backward, problem.step

    def run(world: World) -> tuple[Any, Any]:
        with _lent(scope, world, names):
            return forward(world)

    def back(world: World, result: Any, rest: Any, upstream: Any) -> Any:
        with _lent(scope, world, names):
            return backward(world, result, rest, upstream)

    def stepped(world: World, returned: Any) -> None:
        with _lent(scope, world, names):
            if step is not None:
                step(world, returned)

    problem.world = {**problem.world, **{name: scope[name] for name in names}}
    problem.data += tuple(name for name in names if role_of(name) in ("x", "t"))
    problem.forward, problem.backward = run, back
    problem.step = stepped if step is not None else None
    return problem


def vars_of(function: Any) -> dict[str, Any]:
    """The global variables that a function sees; none of a class."""
    found: dict[str, Any] = getattr(function, "__globals__", {})
    return found


def _used(functions: list[Any], scope: dict[str, Any]) -> list[str]:
    """The global arrays that functions use, and those that they call; and the sizes beside them."""
    found: dict[str, bool] = {}
    seen: set[Any] = set()
    stack: list[Any] = [f.__code__ for f in functions if hasattr(f, "__code__")]
    while stack:
        code = stack.pop()
        if code in seen:
            continue
        seen.add(code)
        stack += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        for name in code.co_names:
            value = scope.get(name)
            if isinstance(value, types.FunctionType) and value.__globals__ is scope:
                stack.append(value.__code__)
            elif name in scope:
                found[name] = type(value) is int or any(
                    is_float(p.get()) for p in places({"": value})
                )
    if not any(kept and type(scope[name]) is not int for name, kept in found.items()):
        return []
    return [name for name in scope if found.get(name)]  # in the order of the file


@contextmanager
def _lent(scope: dict[str, Any], world: World, names: list[str]) -> Iterator[None]:
    """The world's arrays are the file's global variables while this lasts."""
    before = {name: scope[name] for name in names}
    scope.update({name: world[name] for name in names})
    try:
        yield
    finally:
        world.update({name: scope[name] for name in names})
        scope.update(before)
