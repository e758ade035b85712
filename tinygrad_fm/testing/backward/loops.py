"""Training loops: the body of one, in a script or a function, as a forward and a backward pass."""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.functional import IMPLIED
from tinygrad_fm.testing.backward.guessing import arguments_of
from tinygrad_fm.testing.backward.making import instances
from tinygrad_fm.testing.backward.pairing import names_gradient
from tinygrad_fm.testing.backward.places import is_float, places
from tinygrad_fm.testing.backward.problem import CannotRunError, Problem, World, generator_kept
from tinygrad_fm.testing.backward.roles import role_of
from tinygrad_fm.testing.backward.sources import Source

_PLACES = (ast.Name, ast.Attribute, ast.Subscript)
LOSS_WORDS = ("loss", "cost", "mse", "entropy", "error")
TALK = ("print", "plt", "append", "tqdm", "pbar", "logging", "display")
CUT = (
    "{} trains in one loop that cannot be cut into a forward and a backward pass ({}); write the "
    "inside of the loop as a function that returns (loss, gradients), and name that"
)


@dataclass
class Loop:
    """The innermost loop that updates parameters, and what runs before it.

    Attributes:
        function: the name of the function that it is in; empty in a script.
        owner: the class, where it is in a method.
        before: the statements that lead to it.
        body: its own, without those that only print.
        updated: the names that the body assigns from themselves, parameters among them.
    """

    function: str
    before: list[ast.stmt]
    body: list[ast.stmt]
    updated: list[str]
    owner: str = ""

    @property
    def title(self) -> str:
        """What it is called in a report."""
        name = ".".join(part for part in (self.owner, self.function) if part)
        return name or "the training loop"


def loops(source: Source, tree: ast.Module) -> Iterator[Loop]:
    """The training loops of a file."""
    for owner, name, body in _bodies(tree):
        found = _innermost(body, [])
        if found is not None:
            before, inside = found
            kept = [part for part in inside if not _only_talks(part)]
            yield Loop(name, before if name else [], kept, _updated(kept), owner)


def _bodies(tree: ast.Module) -> Iterator[tuple[str, str, list[ast.stmt]]]:
    """The script, and each function and method: (class, name, statements)."""
    yield "", "", tree.body
    for part in tree.body:
        if isinstance(part, ast.FunctionDef):
            yield "", part.name, part.body
        elif isinstance(part, ast.ClassDef):
            methods = [inner for inner in part.body if isinstance(inner, ast.FunctionDef)]
            yield from ((part.name, inner.name, inner.body) for inner in methods)


def problems_of(loop: Loop, source: Source) -> Iterator[Problem]:
    """The loop's body on every arrangement of data that the function may be meant for.

    Raises:
        CannotRunError: what leads to the loop fails.
    """
    function = _function_of(loop, source)
    arguments = arguments_of(function) if function is not None else iter([()])
    reason = "it holds no arrays"
    found = False
    for given in arguments:
        try:
            start = _reached(loop, source, given)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        for problem in _of(loop, source, start):
            found = True
            yield problem
    if not found:
        raise CannotRunError(CUT.format(loop.title, reason))


def _of(loop: Loop, source: Source, start: dict[str, Any]) -> Iterator[Problem]:
    """The problems that the names at the beginning of the loop allow: one for each loss."""
    parameters = [n for n in loop.updated if n in start and is_float(start[n])]
    read = {n.id for part in loop.body for n in ast.walk(part) if isinstance(n, ast.Name)}
    world = {n: v for n, v in start.items() if n in read and not _is_code(v)}
    arrays = [n for n, v in world.items() if hasattr(v, "dtype") and n not in parameters]
    holders = [n for n, v in world.items() if n not in (*parameters, *arrays) and _holds(v)]
    targets = [n for n in arrays if role_of(n) == "t"]
    passed = [part for part in loop.body if not _updated([part])]
    whole = _function(loop.body, source, list(world))
    at = [i for i, part in enumerate(passed) if any(_is_loss(name) for name in _assigned(part))]
    if not parameters and not holders:
        return

    def back(world: World, result: Any, rest: Any, upstream: Any) -> Any:
        after = whole(*(world[name] for name in start_names))
        for name in parameters:
            world[name] = after[name]
        new = {n: v for n, v in after.items() if n not in start_names and is_float(v)}
        return {n: v for n, v in new.items() if any(names_gradient(n, p) for p in loop.updated)}

    start_names = list(world)
    losses: list[tuple[str, Any, list[ast.stmt]]] = []
    if at:
        name = next(n for n in _assigned(passed[at[-1]]) if _is_loss(n))
        losses.append(("", lambda after, name=name: after[name], passed[: at[-1] + 1]))
    for target in targets:
        first = next((i for i, p in enumerate(passed) if target in _names(p)), 0)
        for words, loss in IMPLIED.items():
            losses.append(
                (
                    f"no loss is found: checked as {words}",
                    lambda after, loss=loss, target=target: _implied(after, loss, target),
                    passed[:first],
                )
            )
    for note, loss_of, part in losses:
        forward = _function(part, source, start_names)

        def run(world: World, forward: Any = forward, loss_of: Any = loss_of) -> tuple[Any, Any]:
            after = forward(*(world[name] for name in start_names))
            return loss_of(after), None

        problem = Problem(
            title=loop.title,
            world=dict(world),
            forward=run,
            backward=back,
            functions=[whole, forward],
            data=tuple(arrays),
            notes=[note] if note else [],
        )
        if _runs(problem):
            yield problem


def _reached(loop: Loop, source: Source, given: tuple[Any, ...]) -> dict[str, Any]:
    """The variables at the beginning of the loop."""
    written = _function_of(loop, source)
    if written is None:
        return dict(source.scope)
    names = list(written.__code__.co_varnames)[: written.__code__.co_argcount]
    defaults = written.__defaults__ or ()
    if loop.owner:
        make, _ = next(instances(source.scope[loop.owner], source))
        given = (make(), *given[1:])
    function = _function(loop.before, source, names)
    with generator_kept(), np.errstate(all="ignore"):
        found: dict[str, Any] = function(*given, *defaults)
    return found


def _function_of(loop: Loop, source: Source) -> Any:
    """The function or method that a loop is in; None of a script."""
    holder = getattr(source.scope.get(loop.owner), "__dict__", {}) if loop.owner else source.scope
    return holder.get(loop.function) if loop.function else None


def _function(body: list[ast.stmt], source: Source, names: list[str]) -> Any:
    """Statements as a function of these names that returns all that it has then."""
    module = ast.parse(f"def loop({', '.join(names)}):\n    return dict(locals())")
    (function,) = module.body
    assert isinstance(function, ast.FunctionDef)
    function.body[:0] = [part for part in body if not isinstance(part, ast.Return)]
    made: dict[str, Any] = {}
    exec(compile(module, source.scope["__file__"], "exec"), source.scope, made)
    return made["loop"]


def _innermost(body: list[ast.stmt], before: list[ast.stmt]) -> Any:
    """(what runs before, the body) of the first loop that updates, as far inside as it goes."""
    for i, part in enumerate(body):
        if isinstance(part, (ast.For, ast.While)):
            lead = [*before, *body[:i], *_first_turn(part)]
            inner = _innermost(part.body, lead)
            if inner is not None:
                return inner
            kept = [p for p in part.body if not _only_talks(p)]
            if any(_multiplies(p) for p in kept) and _updated(kept):
                return lead, part.body
    return None


def _first_turn(loop: ast.stmt) -> list[ast.stmt]:
    """The loop's variable as it is in the first turn."""
    if not isinstance(loop, ast.For):
        return []
    text = f"{ast.unparse(loop.target)} = next(iter({ast.unparse(loop.iter)}))"
    (first,) = ast.parse(text).body
    return [ast.copy_location(first, loop)]


def _updated(body: list[ast.stmt]) -> list[str]:
    """The names that are assigned from themselves: W1 -= ..., W1 = W1 - ..."""
    found: dict[str, None] = {}
    for part in body:
        if isinstance(part, ast.AugAssign):
            found[ast.unparse(part.target)] = None
        elif isinstance(part, ast.Assign):
            inside = {ast.unparse(n) for n in ast.walk(part.value) if isinstance(n, _PLACES)}
            targets = {ast.unparse(t) for t in part.targets}
            found |= dict.fromkeys(target for target in targets if target in inside)
    return list(found)


def _assigned(part: ast.stmt) -> list[str]:
    targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
    nodes = (n for target in targets if target is not None for n in ast.walk(target))
    return [n.id for n in nodes if isinstance(n, ast.Name)]


def _names(part: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(part) if isinstance(n, ast.Name)}


def _only_talks(part: ast.stmt) -> bool:
    """Whether a statement only prints, draws or notes something."""
    if isinstance(part, ast.If):
        return all(_only_talks(inner) for inner in [*part.body, *part.orelse])
    text = ast.unparse(part)
    return isinstance(part, (ast.Expr, ast.Pass, ast.Break)) and (
        any(word in text for word in TALK) or not isinstance(getattr(part, "value", 0), ast.Call)
    )


def _multiplies(part: ast.stmt) -> bool:
    """Whether a statement has a product of matrices in it."""
    return any(
        (isinstance(n, ast.BinOp) and isinstance(n.op, ast.MatMult))
        or (isinstance(n, ast.Attribute) and n.attr in ("dot", "matmul"))
        for n in ast.walk(part)
    )


def _implied(after: dict[str, Any], loss: Any, target: str) -> Any:
    """An implied loss of the last value that has the shape of the targets."""
    t = after[target]
    alike = [v for n, v in after.items() if n != target and np.shape(v) == np.shape(t)]
    if not alike:
        raise ValueError("nothing has the shape of the targets")
    return loss(alike[-1], t)


def _is_loss(name: str) -> bool:
    return any(word in name.lower() for word in LOSS_WORDS)


def _is_code(value: Any) -> bool:
    return isinstance(value, (types.ModuleType, types.FunctionType, type)) or callable(value)


def _holds(value: Any) -> bool:
    return any(is_float(p.get()) for p in places(value))


def _runs(problem: Problem) -> bool:
    """Whether the loss is a finite number."""
    import copy

    try:
        with generator_kept(), np.errstate(all="ignore"):
            value, _ = problem.forward(copy.deepcopy(problem.world))
        return bool(np.ndim(value) == 0 and np.isfinite(value))
    except Exception:
        return False
