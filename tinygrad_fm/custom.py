"""A function of your own with a gradient of your own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import numpy as np

from tinygrad_fm.engine import Primitive


@overload
def custom_vjp(
    forward: None = None, *, backward: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Primitive]: ...
@overload
def custom_vjp(forward: Callable[..., Any], *, backward: Callable[..., Any]) -> Primitive: ...


def custom_vjp(forward: Callable[..., Any] | None = None, *, backward: Callable[..., Any]) -> Any:
    """Give a function the gradient that `backward` computes, whatever its true derivative is.

        def straight_through(g, y, x):
            return g

        quantize = tg.custom_vjp(np.round, backward=straight_through)

    or, above a definition, `@tg.custom_vjp(backward=straight_through)`.

    Args:
        forward: a function of arrays; it receives plain arrays, so it may do anything inside.
        backward: `(g, y, *args)`, given the gradient of the result y, to the gradient of the only
            argument, or to a tuple with one for each argument, None where there is none. Each has
            its argument's shape. Written in NumPy expressions it can itself be differentiated.

    Returns:
        the function to call, on arrays or Tensors.

    Raises (in the backward pass):
        ValueError: the gradients do not match the arguments in number or shape.
    """
    if forward is None:
        return lambda function: custom_vjp(function, backward=backward)

    name = getattr(forward, "__name__", repr(forward))

    def joint(g: Any, y: Any, *args: Any, **keywords: Any) -> tuple[Any, ...]:
        found = backward(g, y, *args, **keywords)
        gradients = tuple(found) if isinstance(found, tuple) else (found,)
        gradients = tuple(np.asarray(h) if isinstance(h, (float, int)) else h for h in gradients)
        if len(gradients) != len(args):
            raise ValueError(
                f"the backward of {name} returned {len(gradients)} gradients for {len(args)} "
                "arguments; return one for each, None where there is none"
            )
        return gradients

    return Primitive(forward, joint=joint)
