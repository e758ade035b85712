"""Mutants of functions: the same with a flipped sign, a dropped factor, or swapped arguments."""

import ast
import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType

# Functions of two arguments that do not commute, by which two of their arguments are swapped.
SWAPPED = {
    "matmul": (0, 1),
    "dot": (0, 1),
    "outer": (0, 1),
    "subtract": (0, 1),
    "divide": (0, 1),
    "power": (0, 1),
    "where": (1, 2),
    "copysign": (0, 1),
}
NOT_COMMUTING = (ast.Sub, ast.Div, ast.Pow, ast.MatMult, ast.Mod, ast.FloorDiv)


@dataclass(frozen=True)
class Mutant:
    """One change of one function."""

    function: FunctionType
    kind: str  # "sign", "factor" or "swap"
    change: str  # `g * y -> g`
    code: CodeType

    @property
    def name(self) -> str:
        """By which a list of equivalent mutants can name it."""
        return f"{name_of(self.function)}: {self.change}"

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The function computes the mutant while this lasts."""
        original = self.function.__code__
        self.function.__code__ = self.code
        try:
            yield
        finally:
            self.function.__code__ = original


def name_of(function: FunctionType) -> str:
    """The module's last name, and the function's or, of a lambda, its text."""
    module = function.__module__.rpartition(".")[2]
    if function.__name__ != "<lambda>":
        return f"{module}.{function.__name__}"
    return f"{module}.{ast.unparse(node_of(function))}"


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(inspect.importlib.import_module(module)))


@functools.cache
def node_of(function: FunctionType) -> ast.Lambda | ast.FunctionDef:
    """The syntax tree of a function, found by where its instructions stand in the source."""
    code = function.__code__
    places = [
        (line, column, end_line, end)
        for line, end_line, column, end in code.co_positions()
        if None not in (line, end_line, column, end) and (column, end) != (0, 0)
    ]
    found = [
        node
        for node in ast.walk(_tree(function.__module__))
        if isinstance(node, (ast.Lambda, ast.FunctionDef))
        and getattr(node, "name", "<lambda>") == code.co_name
        and _first_line(node) == code.co_firstlineno
        and all(_inside(node, place) for place in places)
    ]
    return min(found, key=lambda node: (node.end_lineno, node.end_col_offset))


def _first_line(node: ast.Lambda | ast.FunctionDef) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _inside(node: ast.AST, place: tuple[int, int, int, int]) -> bool:
    line, column, end_line, end = place
    starts = (node.lineno, node.col_offset) <= (line, column) or line < node.lineno
    return starts and (end_line, end) <= (node.end_lineno, node.end_col_offset)


def mutants_of(function: FunctionType) -> Iterator[Mutant]:
    """All mutants of a function, in the order of its source."""
    original = node_of(function)
    for i, (_, node, is_result) in enumerate(list(_places(original))):
        before = ast.unparse(node)
        for kind, replacement in _replacements(node, is_result):
            tree = copy.deepcopy(original)
            put, _, _ = list(_places(tree))[i]
            put(copy.deepcopy(replacement))
            ast.fix_missing_locations(tree)
            code = _compiled(tree, function.__code__)
            if code.co_code != function.__code__.co_code or code.co_consts != (
                function.__code__.co_consts
            ):
                yield Mutant(function, kind, f"{before} -> {ast.unparse(replacement)}", code)


Place = tuple[Callable[[ast.expr], None], ast.expr, bool]


def _places(function: ast.Lambda | ast.FunctionDef) -> Iterator[Place]:
    """Every expression that can be mutated: how to put another there, it, and if it is a result."""
    if isinstance(function, ast.Lambda):
        yield functools.partial(setattr, function, "body"), function.body, True
        stack: list[ast.AST] = [function.body]
    else:
        stack = list(function.body)
    while stack:
        node = stack.pop(0)
        if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.FunctionDef, ast.Lambda)):
            continue
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "slice"):
                continue  # types, and the arithmetic of indices
            is_result = isinstance(node, ast.Return) and name == "value"
            for k, item in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(item, ast.AST):
                    continue
                if is_result or _mutable(item):
                    put = (
                        functools.partial(value.__setitem__, k)
                        if isinstance(value, list)
                        else functools.partial(setattr, node, name)
                    )
                    yield put, item, is_result
                stack.append(item)


def _mutable(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _called(node) in SWAPPED
    return isinstance(node, (ast.BinOp, ast.UnaryOp))


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _replacements(node: ast.expr, is_result: bool) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if not isinstance(node.operand, ast.Constant):
            yield "sign", node.operand
    elif isinstance(node, ast.BinOp):
        if isinstance(node.op, (ast.Add, ast.Sub)):
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            yield "sign", ast.BinOp(node.left, other, node.right)
        if isinstance(node.op, (ast.Mult, ast.Div)):
            yield "factor", node.left
        if isinstance(node.op, ast.Mult):
            yield "factor", node.right
        if isinstance(node.op, NOT_COMMUTING):
            yield "swap", ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.Call) and _called(node) in SWAPPED:
        i, j = SWAPPED[_called(node)]
        if len(node.args) > max(i, j):
            args = list(node.args)
            args[i], args[j] = args[j], args[i]
            yield "swap", ast.Call(node.func, args, node.keywords)
    if is_result and not isinstance(node, (ast.UnaryOp, ast.Tuple, ast.Constant)):
        yield "sign", ast.UnaryOp(ast.USub(), node)


def _compiled(node: ast.Lambda | ast.FunctionDef, original: CodeType) -> CodeType:
    """The code of a function's tree, with the same variables of enclosing functions."""
    free = original.co_freevars
    if isinstance(node, ast.Lambda):
        # a variable that the mutant does not use any more must still be there
        kept = ast.Tuple([ast.Name(name, ast.Load()) for name in free], ast.Load())
        if free:
            node.body = ast.Subscript(
                ast.Tuple([node.body, kept], ast.Load()), ast.Constant(0), ast.Load()
            )
        made: ast.stmt = ast.Return(node)
    else:
        node.decorator_list = []
        node.body = [
            *(ast.Expr(ast.Name(name, ast.Load())) for name in free),
            *node.body,
        ]
        made = node
    outer = ast.FunctionDef(
        name="outer",
        args=ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, []),
        body=[made],
        decorator_list=[],
    )
    module = ast.fix_missing_locations(ast.Module([outer], []))
    code = compile(module, original.co_filename, "exec")
    outer_code = next(c for c in code.co_consts if isinstance(c, CodeType))
    return next(
        c for c in outer_code.co_consts if isinstance(c, CodeType) and c.co_name == original.co_name
    )
