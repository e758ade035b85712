"""Watching the rules of a graph at work: what each receives, frozen, and what it returns."""

import contextlib

import numpy as np

from tinygrad_fm import Tensor
from tinygrad_fm.engine import topological


def differentiate(case, wrap=lambda a: a, arguments=None, create_graph=False):
    """The result of a case on Tensors, and the gradient for each of its float arrays."""
    y, tensors = forward(case, wrap, arguments)
    y.backward(wrap(seed_like(y)), create_graph=create_graph)
    return y, [t.grad.data for t in tensors if t.grad is not None]


def forward(case, wrap=lambda a: a, arguments=None):
    """The result of a case on Tensors, and the Tensors that were made of its float arrays."""
    arguments = list(case.args if arguments is None else arguments)
    for i, a in enumerate(arguments):
        if i in case.floats:
            arguments[i] = Tensor(wrap(a), requires_grad=True, copy=False)
        elif isinstance(a, np.ndarray):
            arguments[i] = wrap(a)
    return case(*arguments), [arguments[i] for i in case.floats]


def seed_like(y):
    """A gradient for y without a zero or a repeated number in it."""
    return np.reshape(np.cos(np.arange(1.0, y.size + 1)), y.shape).astype(y.dtype)


def freeze(value):
    """Make the arrays among a rule's arguments read-only."""
    for array in value if isinstance(value, tuple) else (value,):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False


@contextlib.contextmanager
def watched(y, see):
    """In a backward pass from y, freeze what rules receive and call `see(node's rule)` after each.

    `see(primitive, i, g, h)` gets the primitive, the argument's number, the gradient of the result
    and what the rule returned.
    """
    primitives = {node.primitive for node in topological([y.node]) if node.primitive is not None}
    before = {p: (p.rules, p.variadic, p.joint) for p in primitives}

    def watch(primitive, rule, i=None):
        if rule is None:
            return None

        def watching(*args, **keywords):
            number, rest = (i, args) if i is not None else (args[0], args[1:])
            for value in rest:
                freeze(value)
            h = rule(*args, **keywords)
            see(primitive, number, rest[0], h)
            return h

        return watching

    for p in primitives:
        p.rules = tuple(watch(p, rule, i) for i, rule in enumerate(p.rules))
        p.variadic = watch(p, p.variadic)
    try:
        yield
    finally:
        for p, (rules, variadic, joint) in before.items():
            p.rules, p.variadic, p.joint = rules, variadic, joint
