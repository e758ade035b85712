"""The formulas of the common operations and of their derivative rules, as people write them.

A formula is written once and shown as text or as LaTeX. `<0>`, `<1>` are the arguments, `<y>` the
result, `<g>` its gradient, `<n>` how many elements were reduced to one; words stand in quotes.
Products without a sign are matrix products, and so is the transpose; ⊙, /, powers and functions act
element by element.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tinygrad_fm.engine import Node


@dataclass(frozen=True)
class Formula:
    """An operation: its result, the gradient of each argument, and letters for plain arguments.

    `gradients` may be shorter than the arguments are many: its last one then holds for the rest.
    """

    forward: str
    gradients: tuple[str, ...]
    letters: str = "C"


def _f(forward: str, *gradients: str, letters: str = "C") -> Formula:
    return Formula(forward, gradients, letters)


def _function(name: str, gradient: str) -> Formula:
    return _f(f"{name}(<0>)", gradient)


def _moved(words: str, back: str) -> Formula:
    return _f(f"<0> '{words}'", f"<g> '{back}'")


_RESHAPED = _moved("reshaped", "reshaped back")
_TURNED = _moved("with axes in another order", "with axes in the old order")


FORMULAS: dict[str, Formula] = {
    # layers and losses
    "linear": _f("<0> <1> + <2>", "<g> <1>ᵀ", "<0>ᵀ <g>", "Σ'rows' <g>", letters="XWb"),
    "matmul": _f("<0> <1>", "<g> <1>ᵀ", "<0>ᵀ <g>", letters="XW"),
    "relu": _f("max(<0>, 0)", "<g> ⊙ 1[<y> > 0]"),
    "leaky_relu": _f("max(<0>, 0) + <1> min(<0>, 0)", "<g> ⊙ (1[<0> > 0] + <1> 1[<0> ≤ 0])"),
    "elu": _f(
        "1[<0> > 0] ⊙ <0> + <1> 1[<0> ≤ 0] ⊙ (exp(<0>) - 1)",
        "<g> ⊙ (1[<0> > 0] + <1> 1[<0> ≤ 0] ⊙ exp(<0>))",
    ),
    "sigmoid": _function("sigmoid", "<g> ⊙ <y> ⊙ (1 - <y>)"),
    "softplus": _f("log(1 + exp(<0>))", "<g> ⊙ sigmoid(<0>)"),
    "tanh": _function("tanh", "<g> ⊙ (1 - <y>²)"),
    "softmax": _function("softmax", "<y> ⊙ (<g> - Σ'row' <g> ⊙ <y>)"),
    "log_softmax": _f("log(softmax(<0>))", "<g> - softmax(<0>) ⊙ Σ'row' <g>"),
    "cross_entropy": _f("-<2> Σ <1> ⊙ <0>", "-<2> <g> <1>", "-<2> <g> <0>", letters="PT"),
    "square_norm": _f("Σ <0>²", "2 <g> <0>"),
    "centre": _f("<0> - mean(<0>)", "<g> - mean(<g>)"),
    "mean_square": _f("1/<n> Σ <0>²", "2/<n> <g> ⊙ <0>"),
    "conv2d": _f(
        "<0> 'correlated with' <1> + <2>",
        "<g> 'convolved with' <1>",
        "<0> 'correlated with' <g>",
        "Σ'pixels' <g>",
        letters="XWb",
    ),
    "avg_pool": _f("'mean of each window of' <0>", "<g> 'in equal shares'"),
    "max_pool": _f("'largest of each window of' <0>", "<g> 'at the largest, 0 elsewhere'"),
    "windows": _f("'windows of' <0>", "<g> 'added up where windows overlap'"),
    "pad": _f("<0> 'with a border'", "<g> 'without the border'"),
    # arithmetic
    "add": _f("<0> + <1>", "<g>"),
    "subtract": _f("<0> - <1>", "<g>", "-<g>"),
    "multiply": _f("<0> ⊙ <1>", "<g> ⊙ <1>", "<g> ⊙ <0>"),
    "divide": _f("<0> / <1>", "<g> / <1>", "-<g> ⊙ <y> / <1>"),
    "negative": _f("-<0>", "-<g>"),
    "positive": _f("<0>", "<g>"),
    "reciprocal": _f("1 / <0>", "-<g> ⊙ <y>²"),
    "power": _f("<0>^{<1>}", "<g> ⊙ <1> ⊙ <0>^{<1> - 1}", "<g> ⊙ <y> ⊙ log(<0>)"),
    "square": _f("<0>²", "2 <g> ⊙ <0>"),
    "sqrt": _f("sqrt(<0>)", "<g> / (2 <y>)"),
    "exp": _function("exp", "<g> ⊙ <y>"),
    "expm1": _f("exp(<0>) - 1", "<g> ⊙ (<y> + 1)"),
    "log": _function("log", "<g> / <0>"),
    "log1p": _f("log(1 + <0>)", "<g> / (1 + <0>)"),
    "sin": _function("sin", "<g> ⊙ cos(<0>)"),
    "cos": _function("cos", "-<g> ⊙ sin(<0>)"),
    "tan": _function("tan", "<g> ⊙ (1 + <y>²)"),
    "sinh": _function("sinh", "<g> ⊙ cosh(<0>)"),
    "cosh": _function("cosh", "<g> ⊙ sinh(<0>)"),
    "arctan": _function("arctan", "<g> / (1 + <0>²)"),
    "arcsin": _function("arcsin", "<g> / sqrt(1 - <0>²)"),
    "arccos": _function("arccos", "-<g> / sqrt(1 - <0>²)"),
    "absolute": _f("|<0>|", "<g> ⊙ sign(<0>)"),
    "fabs": _f("|<0>|", "<g> ⊙ sign(<0>)"),
    "maximum": _f(
        "max(<0>, <1>)",
        "<g> ⊙ (1[<0> > <1>] + ½ 1[<0> = <1>])",
        "<g> ⊙ (1[<0> < <1>] + ½ 1[<0> = <1>])",
    ),
    "minimum": _f(
        "min(<0>, <1>)",
        "<g> ⊙ (1[<0> < <1>] + ½ 1[<0> = <1>])",
        "<g> ⊙ (1[<0> > <1>] + ½ 1[<0> = <1>])",
    ),
    "where": _f("<1> 'where' <0>', else' <2>", "", "<g> ⊙ 1[<0>]", "<g> ⊙ (1 - 1[<0>])"),
    "clip": _f("<0> 'limited'", "<g> 'inside the limits, 0 outside'"),
    # reductions
    "sum": _f("Σ <0>", "<g> 'repeated'"),
    "mean": _f("1/<n> Σ <0>", "1/<n> <g> 'repeated'"),
    "var": _f("1/<n> Σ (<0> - mean(<0>))²", "2/<n> <g> ⊙ (<0> - mean(<0>))"),
    "std": _f("std(<0>)", "1/<n> <g> ⊙ (<0> - mean(<0>)) / <y>"),
    "max": _f("max(<0>)", "<g> 'at the largest, shared evenly by equals'"),
    "min": _f("min(<0>)", "<g> 'at the smallest, shared evenly by equals'"),
    "prod": _f("'product of' <0>", "<g> ⊙ 'product of the others in' <0>"),
    "cumsum": _f("'running sum of' <0>", "'running sum from the end of' <g>"),
    # movement
    "transpose": _f("<0>ᵀ", "<g>ᵀ"),
    "reshape": _RESHAPED,
    "expand_dims": _RESHAPED,
    "squeeze": _RESHAPED,
    "swapaxes": _TURNED,
    "moveaxis": _TURNED,
    "flip": _moved("flipped", "flipped back"),
    "roll": _moved("rolled", "rolled back"),
    "broadcast_to": _f("<0> 'repeated'", "<g> 'summed back'"),
    "getitem": _f("<0>[…]", "<g> 'at the places of that part, 0 elsewhere'"),
    "setitem": _f(
        "<0> 'with a part set to' <1>", "<g>', 0 at the places of that part'", "'that part of' <g>"
    ),
    "concatenate": _f("", "'its part of' <g>"),
    "split": _f("'parts of' <0>", "<g> 'joined'"),
    "pick": _f("'one of' <0>", "<g> 'at its place'"),
    "copy": _f("<0>", "<g>"),
    "astype": _f("<0>", "<g>"),
    "argument": _f("<0>", "<g>"),
}
_EACH = _f("-Σ'row' <1> ⊙ <0>", "-<g> ⊙ <1>", "-<g> ⊙ <0>", letters="PT")


def formula_of(node: Node) -> Formula | None:
    """The formula of a node's operation; None where there is none that fits it."""
    if node.name == "cross_entropy" and len(node.inputs) == 2:
        return _EACH  # one loss for each example
    found = FORMULAS.get(node.name)
    if found is None or node.primitive is None:
        return None
    # another operation of the user's own may bear the same name
    module = getattr(node.primitive.function, "__module__", None) or "numpy"
    if not module.startswith(("numpy", "tinygrad_fm")):
        return None
    if node.name == "transpose" and len(node.shape) != 2:
        return _TURNED
    if node.name == "matmul" and len(node.shape) < 2:
        return _f("<0> <1>", "<g> ⊗ <1>", "<0> ⊗ <g>", letters="XW")
    return found


def as_text(formula: str) -> str:
    """A formula for a terminal; symbols are filled in later."""
    text = formula.replace("Σ'", "Σ_").replace("'", "")
    return re.sub(r"\^\{([^{}]*)\}", r"^(\1)", text)


_WORDS = {
    "…": r"\ldots",
    "⊙": r" \odot ",
    "⊗": r" \otimes ",
    "ᵀ": r"^\top",
    "²": "^2",
    "≤": r" \le ",
    "½": r"\tfrac{1}{2}",
    "ε": r"\varepsilon",
    "1[": r"\mathbb{1}[",
}
_FUNCTIONS = ("max", "min", "exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "arctan")
_NAMED = ("softmax", "sigmoid", "sign", "mean", "var", "std", "arcsin", "arccos")


def as_latex(formula: str) -> str:
    """A formula in LaTeX; symbols are filled in later."""
    text = re.sub(r"Σ'([^']*)'", r"\\sum_{\\text{\1}}", formula)
    text = re.sub(r"'([^']*)'", r"\\text{ \1 }", text.replace("Σ", r"\sum "))
    text = re.sub(r"\|([^|]*)\|", r"\\lvert \1 \\rvert", text)
    text = re.sub(r"(\d)/<n>", r"\\tfrac{\1}{<n>}", text)
    text = re.sub(r"sqrt\(((?:[^()]|\([^()]*\))*)\)", r"\\sqrt{\1}", text)
    for name in (*_FUNCTIONS, *_NAMED):
        known = rf"\\{name}" if name in _FUNCTIONS else rf"\\operatorname{{{name}}}"
        text = re.sub(rf"(?<![\\\w]){name}(?=\()", known, text)
    for sign, command in _WORDS.items():
        text = text.replace(sign, command)
    return re.sub(r" +", " ", text)
