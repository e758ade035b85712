"""Objects of a person's classes, and data that fits them: guessed by names, found by trying."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.places import is_float, places
from tinygrad_fm.testing.backward.problem import generator_kept
from tinygrad_fm.testing.backward.sources import SAMPLES, Source

FEATURES, HIDDEN, CLASSES = 4, 6, 3
MAKERS = 16  # ways to make an object that are tried
FORWARD = (
    "forward", "fwd", "feedforward", "propagate", "forward_pass", "forward_propagation",
    "forward_prop", "forward_propagate", "fprop", "feed_forward",
)  # fmt: skip
BACKWARD = (
    "backward", "bwd", "backprop", "back_prop", "backpropagation", "back_propagation",
    "backward_pass", "backward_propagation", "backward_prop", "backpropagate", "back_propagate",
    "bprop", "gradient", "gradients", "grad", "grads",
    "compute_gradients", "compute_gradient", "calculate_gradients",
)  # fmt: skip
INITIALIZE = (
    "initialize", "init_weights", "init_params", "init_parameters", "initialize_weights", "build",
    "initialize_parameters", "initialise", "initialise_weights", "setup", "reset_parameters",
    "weight_init", "create_weights", "make_weights", "compile",
)  # fmt: skip
TURNS = (
    "epochs", "n_epochs", "num_epochs", "n_iters", "n_iter", "num_iters", "num_iterations",
    "n_iterations", "iterations", "iters", "max_iter", "epoch",
)  # fmt: skip
STEP = (
    "step", "update", "update_params", "update_parameters", "update_weights", "apply_gradients",
    "apply_grads", "optimize", "optimizer_step", "sgd_step", "sgd", "gradient_descent",
)  # fmt: skip
LOSS = (
    "loss", "cost", "error", "compute_loss", "compute_cost", "calculate_loss", "loss_function",
    "loss_and_grad", "loss_and_grads", "loss_and_gradient", "loss_and_gradients", "loss_grad",
)  # fmt: skip
TARGETS = ("t", "y", "target", "targets", "labels", "label", "y_true", "y_label", "yt", "y_train")
INPUTS = ("x", "x_train", "data", "input", "inputs", "input_data", "features", "train_x")
RATES = ("lr", "rate", "eta", "alpha", "reg", "lambda", "momentum", "std")
FUNCTIONS = ("sigmoid", "relu", "tanh", "ReLU")
DERIVED = ("_prime", "_derivative", "_deriv", "_grad", "_gradient", "_d", "_der", "_backward")

Maker = Callable[[], Any]


def rng() -> np.random.Generator:
    """A fresh generator: every guess draws the same numbers."""
    return np.random.default_rng(0)


def method(kind: type, names: tuple[str, ...]) -> str:
    """The name of a class's method that is one of these, however it is spelled: feedForward."""
    # not getattr: every class has the __call__ of its metaclass
    own = [name for base in kind.__mro__ if base is not object for name in vars(base)]
    spelled = {spelling(name): name for name in reversed(own) if callable(getattr(kind, name))}
    return next((spelled[spelling(n)] for n in names if spelling(n) in spelled), "")


def is_abstract(kind: type) -> bool:
    """Whether a class only says what its subclasses have to do: its backward does nothing."""
    if inspect.isabstract(kind):
        return True
    try:
        source = inspect.getsource(getattr(kind, method(kind, BACKWARD)))
        (function,) = ast.parse(textwrap.dedent(source)).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return False
    return isinstance(function, ast.FunctionDef) and all(
        isinstance(part, (ast.Pass, ast.Raise))
        or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        for part in function.body
    )


def spelling(name: str) -> str:
    """A name without capitals and underscores."""
    return name.lower().replace("_", "")


def needed(function: Any) -> list[str]:
    """The names of the arguments that have no default."""
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]


def instances(kind: type, source: Source) -> Iterator[tuple[Maker, dict[str, Any]]]:
    """Ways to make an object, each with the data that its constructor was given: x, t."""
    left_open = [p.name for p in inspect.signature(kind).parameters.values() if p.default is None]
    without = [n for n in left_open if _is_sizes(n) or n.lower().startswith("act")]
    yield from _instances(kind, source, needed(kind))
    if without:  # a network whose sizes may be left open cannot do anything without them
        yield from _instances(kind, source, [*needed(kind), *without])


def _instances(
    kind: type, source: Source, names: list[str]
) -> Iterator[tuple[Maker, dict[str, Any]]]:
    choices = [_choices(name, i, names, kind, source) for i, name in enumerate(names)]
    for arguments in itertools.islice(itertools.product(*choices), MAKERS):
        held: dict[str, Any] = {}
        for name, value in zip(names, arguments, strict=True):
            if isinstance(value, np.ndarray) and name.lower() in (*TARGETS, *INPUTS):
                held["t" if name.lower() in TARGETS else "x"] = value
        if "t" in held and "x" not in held:
            continue
        given = [_with_derivative(a, arguments, source) for a in arguments]

        def make(given: list[Any] = given) -> Any:
            values = [a() if isinstance(a, _Made) else a for a in given]
            made = kind(**dict(zip(names, values, strict=True)))
            return _filled(made, kind, source)

        yield make, held


class _Made:
    """An argument that is made anew for each object, as a list of layers."""

    def __init__(self, make: Maker):
        self.make = make

    def __call__(self) -> Any:
        return self.make()


class _Derivative:
    """The place of the derivative of the function that another argument is."""


def _choices(name: str, at: int, names: list[str], kind: type, source: Source) -> list[Any]:
    """What an argument of a constructor may be, the likeliest first."""
    word = name.lower().strip("_")
    size = [FEATURES, HIDDEN, CLASSES, 2, 3][min(at, 4)]
    sizes = [[FEATURES, HIDDEN, CLASSES], (FEATURES, HIDDEN, CLASSES), HIDDEN]
    if word in TARGETS:
        one_hot = np.eye(CLASSES)[rng().integers(0, CLASSES, SAMPLES)]
        return [one_hot, one_hot[:, :1].copy(), rng().integers(0, CLASSES, SAMPLES), CLASSES]
    if word in INPUTS:
        data = rng().standard_normal((SAMPLES, FEATURES))
        return [data, FEATURES] if word[0] in "xdft" else [FEATURES, data]
    if word in ("w", "weight", "weights"):
        return [rng().standard_normal((FEATURES, CLASSES)), size]
    if word in ("b", "bias", "biases"):
        return [rng().standard_normal(CLASSES), size]
    if word in ("gamma", "beta"):
        return [rng().uniform(0.5, 1.5, FEATURES), size]
    if any(part in word for part in RATES):
        return [0.1]
    if "layer" in word and (stack := _stack(kind, source)):
        return [_Made(stack), *sizes]
    if _is_sizes(word):
        return list(sizes)
    if any(word.endswith(end) for end in DERIVED) and at:
        return [_Derivative()]
    if "activation" in word or "func" in word or word.startswith("act"):
        known = [source.scope[n] for n in source.names if _derivative_of(n, source)]
        if any(name.lower().endswith(DERIVED) for name in names):
            return [*(known[:3] or [_tanh]), *FUNCTIONS]
        return [*FUNCTIONS, *known[:3]]
    return [size]


def _is_sizes(name: str) -> bool:
    """Whether an argument is the sizes of all layers."""
    parts = ("sizes", "size_list", "layers", "dims", "shape", "units", "architecture")
    return any(part in name.lower() for part in parts)


def _with_derivative(argument: Any, arguments: tuple[Any, ...], source: Source) -> Any:
    if not isinstance(argument, _Derivative):
        return argument
    if any(a is _tanh for a in arguments):
        return _tanh_prime
    named = [getattr(a, "__name__", "") for a in arguments]
    return next((f for n in named if n and (f := _derivative_of(n, source))), None)


def _tanh(x: Any) -> Any:
    """What a layer of two functions is made of where the file has none."""
    return np.tanh(x)


def _tanh_prime(x: Any) -> Any:
    return 1 - np.tanh(x) ** 2


def _derivative_of(name: str, source: Source) -> Any:
    """The function of the file that is the derivative of another: sigmoid_prime, d_sigmoid."""
    names = [f"{name}{end}" for end in DERIVED] + [f"d_{name}", f"d{name}", f"deriv_{name}"]
    found = [source.scope[n] for n in names if n in source.names and n in source.scope]
    return found[0] if found and not isinstance(source.scope.get(name), type) else None


def _stack(kind: type, source: Source) -> Maker | None:
    """A list of layers of the file's own: one with weights, one without, one with weights."""
    between: Maker | None = None
    weighted: type | None = None
    for name in source.names:
        found = source.scope.get(name)
        if not isinstance(found, type) or found is kind or issubclass(kind, found):
            continue
        if not (method(found, FORWARD) and method(found, BACKWARD)):
            continue
        forward = needed(getattr(found, method(found, FORWARD)))
        try:
            with generator_kept():
                made = found() if not needed(found) else found(FEATURES, HIDDEN)
        except Exception:
            continue
        if len(forward) != 2:  # self and the input
            continue
        if not needed(found):
            between = between or found
        elif len(needed(found)) == 2 and any(is_float(p.get()) for p in places(made)):
            weighted = weighted or found
    if weighted is None:
        return None
    first, middle = weighted, between

    def stack() -> list[Any]:
        inner = [middle()] if middle is not None else []
        return [first(FEATURES, HIDDEN), *inner, first(HIDDEN, CLASSES)]

    return stack


def _filled(made: Any, kind: type, source: Source) -> Any:
    """A network that begins without layers, with layers of the file added to it."""
    own = getattr(made, "__dict__", {}).items()
    empty = [n for n, v in own if isinstance(v, list) and not v and "layer" in n]
    add = next((n for n in ("add", "add_layer", "append") if callable(getattr(made, n, None))), "")
    stack = _stack(kind, source) if empty and add else None
    _initialized(made, kind)
    if stack is not None and len(needed(getattr(made, add))) == 1:
        for layer in stack():
            getattr(made, add)(layer)
    return made


def _initialized(made: Any, kind: type) -> None:
    """Call the method that makes the parameters, where the constructor made none."""
    if any(is_float(place.get()) for place in places(made)):
        return
    name = method(kind, INITIALIZE)
    draw = rng()
    data = {"x": draw.standard_normal((SAMPLES, FEATURES)), "t": draw.integers(0, 2, SAMPLES)}
    if name:
        given = [
            data["x" if word in INPUTS else "t"] if word in (*INPUTS, *TARGETS) else FEATURES
            for word in map(str.lower, needed(getattr(made, name)))
        ]
        getattr(made, name)(*given)
    elif method(kind, ("fit", "train")) and any(n in vars(made) for n in TURNS):
        for turns in [n for n in TURNS if n in vars(made)]:
            setattr(made, turns, 1)  # one turn of training, which makes them on its way
        getattr(made, method(kind, ("fit", "train")))(data["x"], data["t"])


def inputs_of(make: Callable[[], Any]) -> list[tuple[int, ...]]:
    """Shapes that the input of an object may have, judged by its first parameters."""
    shapes: list[tuple[int, ...]] = []
    with generator_kept():
        made = make()
    for place in places(made):
        value = place.get()
        if is_float(value) and value.ndim == 2:
            a, b = value.shape
            if a == 1:  # a bias, or one number for each feature
                shapes.append((SAMPLES, b))
                continue
            shapes += [(SAMPLES, a), (SAMPLES, b), (b, SAMPLES), (a, SAMPLES)]
        elif is_float(value) and value.ndim == 3:  # filters of a convolution of one image
            side = value.shape[-1] + 3
            shapes += [(side, side + 1), (2, side, side + 1)]
        elif is_float(value) and value.ndim == 4:
            shapes += [(2, value.shape[1], 6, 6), (2, 6, 6, value.shape[2])]
        elif is_float(value) and value.ndim == 1 and value.size > 1:
            shapes += [(SAMPLES, value.size)]
    single = [(1, n) for _, n in [s for s in shapes if len(s) == 2 and s[0] == SAMPLES]]
    column = [(n, 1) for n, _ in [s for s in shapes if len(s) == 2 and s[1] == SAMPLES]]
    usual = [(SAMPLES, FEATURES), (2, 3, 6, 6)]
    images = [(6, 6, 3), (2, 6, 6, 3)]  # of channels that come last
    return list(dict.fromkeys([*shapes, *usual, *single, *column, *images]))


def targets_of(make: Callable[[], Any], shape: tuple[int, ...]) -> Iterator[Any]:
    """What the labels may be: numbers of classes, one-hot rows or columns, numbers."""
    with generator_kept():
        made = make()
    widths = [p.get().shape for p in places(made) if is_float(p.get()) and p.get().ndim == 2]
    classes = list(dict.fromkeys([n for w in reversed(widths[-1:]) for n in reversed(w)])) or [
        CLASSES
    ]
    for n in classes:
        labels = rng().integers(0, n, 1 if 1 in shape else SAMPLES)
        one_hot = np.eye(n)[labels]
        in_columns = shape[-1] in (SAMPLES, 1)
        yield from (one_hot.T, one_hot) if in_columns else (one_hot, labels)


def pairs_of(names: list[str]) -> Iterator[dict[str, Any]]:
    """Two arguments of a forward: arrays of one shape; else predictions and labels."""
    draw = rng()
    shape = SAMPLES, CLASSES
    predicted = draw.uniform(0.1, 0.9, shape)
    predicted /= predicted.sum(axis=1, keepdims=True)
    labels = draw.integers(0, CLASSES, SAMPLES)
    one_hot = np.eye(CLASSES)[labels]
    second = [one_hot, labels, draw.standard_normal(shape)]
    if spelling(names[0]) in [spelling(name) for name in TARGETS] and names[1] not in TARGETS:
        for value in second:  # forward(y_true, y_pred)
            yield {names[0]: value, names[1]: predicted}
        return
    if spelling(names[0]) in ("x", "a", "left"):
        second.reverse()
    for value in second:
        yield {names[0]: predicted, names[1]: value}
