"""What an operation says when its operands do not fit: the shapes, and where each came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, quoted, registry, state
from tinygrad_fm.recorded import Recorded


def explain(
    primitive: Primitive, args: Sequence[Any], values: Sequence[Any], error: Exception
) -> Exception:
    """The same error, with the operation, the shapes aligned, where each came from, the module."""
    operands = [(i, args[i], v.shape) for i, v in enumerate(values) if hasattr(v, "shape")]
    shapes = [shape for _, _, shape in operands]
    said = str(error).removeprefix(f"{primitive.name}: ")
    # linear's bias is the third; what does not fit there is not about the product
    is_product = primitive is registry[np.matmul] or (
        primitive.name == "linear" and ("matmul" in said or "not aligned" in said)
    )
    if is_product and len(shapes) > 1:
        a, b = shapes[:2]
        if min(len(a), len(b)) > 0:
            said = (
                f"{a} @ {b}: the last axis of the left ({a[-1]}) must equal the last but one of "
                f"the right ({b[-2] if len(b) > 1 else b[-1]})"
            )
            if len(b) > 1 and b[-1] == a[-1]:
                said += "; perhaps the right one is to be transposed: .T"
    lines = [f"{primitive.name}: {said}", *_lines_of(operands)]
    if state.mode.scope is not None:
        lines.append(f"    in module {state.mode.scope.path()}")
    text = "\n".join(lines)
    if type(error) in (ValueError, IndexError):
        error = type(error)(text)
    else:
        error.add_note(text)  # an exception of the user's own keeps its kind and arguments
    if state.mode.observer is not None:
        state.mode.observer.failed(error, primitive, values)
    return error


def explain_call(error: BaseException, scope: Any, arguments: Sequence[Any]) -> None:
    """Note on an error that a module call raised itself: its path, and where its input came from.

    An operation's own error says so already. A list, whose lack of a shape is what Python complains
    of, is named with what to write instead.
    """
    said = "\n".join([str(error), *getattr(error, "__notes__", ())])
    if "    in module " in said:
        return
    lines = []
    if isinstance(error, ValueError):
        lines = _lines_of([(i, a, a.shape) for i, a in enumerate(arguments) if hasattr(a, "shape")])
    elif isinstance(error, (AttributeError, TypeError)):
        lines = [
            f"    argument {i} is a {type(a).__name__}; write np.array(...) around it, since "
            "modules take Tensors and arrays"
            for i, a in enumerate(arguments)
            if isinstance(a, (list, tuple)) and type(a).__name__ in said
        ]
    if lines or isinstance(error, ValueError):
        error.add_note("\n".join([*lines, f"    in module {scope.path()}"]))


def _lines_of(operands: list[tuple[int, Any, Any]]) -> list[str]:
    """A line for each operand: its shape, aligned on the right, and where it came from."""
    width = max((len(str(shape)) for _, _, shape in operands), default=0)
    return [f"    argument {i}: {s!s:>{width}}  {_source_of(value)}" for i, value, s in operands]


def _source_of(argument: Any) -> str:
    """Where an operand came from: the operation and line that made it, or its name."""
    if not isinstance(argument, Recorded):
        return "an array"
    node = argument._node
    if node is None or node.primitive is None:
        name = argument.name or _path_of(argument)
        if not name:
            return "a leaf without a name" if node is not None else "a Tensor, not recorded"
        return f"the leaf {name!r}" if node is not None else f"the Tensor {name!r}, not recorded"
    if not node.line:
        return f"made by {node.name}"
    return f"made by {node.name} at {quoted(node.line)}"


def _path_of(argument: Any) -> str:
    """The path of a parameter in the outermost module that is being called; empty for another."""
    scope = state.mode.scope
    while scope is not None and scope.outer is not None:
        scope = scope.outer
    module = None if scope is None else scope.module()
    known = () if module is None else (*module.named_parameters(), *module.named_buffers())
    return next((path for path, tensor in known if tensor is argument), "")
