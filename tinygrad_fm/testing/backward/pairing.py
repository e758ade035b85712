"""Which gradient belongs to which parameter: by name first, by shape where only one fits."""

from __future__ import annotations

import re
from typing import Any

# What stands before or after a parameter's name in the name of its gradient.
BEFORE = (
    "gradient_",
    "grads_",
    "grad_",
    "nabla_",
    "delta_",
    "dl_d",
    "dloss_d",
    "dj_d",
    "d_",
    "d",
    "g_",
)
AFTER = ("_gradient", "_grads", "_grad", "grad", "_prime", "_dot")
HOLDERS = ("grads", "gradients", "grad", "gradient", "dparams", "deltas", "d", "nabla")
PARAMETERS = ("params", "parameters", "param", "model")
# Names that mean the same.
SHORT = {
    **dict.fromkeys(("weights", "weight", "kernel", "coef", "coefs", "theta", "ws"), "w"),
    **dict.fromkeys(("biases", "bias", "intercept", "intercepts", "bs"), "b"),
}


def pair(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, str]:
    """For each parameter, the path of its gradient among what was found.

    Args:
        found: arrays by the path they were found at.
        wanted: the true gradients by the parameter's path.
    """
    pairs: dict[str, str] = {}
    free = dict(found)
    for level in (_exactly, _alike):
        for path, gradient in wanted.items():
            if path in pairs:
                continue
            fitting = [k for k, v in free.items() if level(k, path) and same_shape(v, gradient)]
            if len(fitting) == 1 or (fitting and level is _exactly):
                pairs[path] = fitting[0]
                free.pop(fitting[0])
    # what is left: a shape that only one parameter and only one gradient have
    for path, gradient in wanted.items():
        if path in pairs:
            continue
        fitting = [k for k, v in free.items() if same_shape(v, gradient) and not _is_value(k)]
        rivals = [p for p, g in wanted.items() if p not in pairs and same_shape(g, gradient)]
        if len(fitting) == 1 and len(rivals) == 1:
            pairs[path] = fitting[0]
            free.pop(fitting[0])
    # expressions that are returned have no names: in the order of the arguments, if all fit so
    left = [path for path in wanted if path not in pairs]
    unnamed = [k for k in free if not k.isidentifier() and not _is_value(k)]
    orders = [left]
    if unnamed and all("[" in k for k in unnamed):  # of lists, without x, which need not be given
        orders.append([path for path in left if not path.isidentifier()])
    for paths in orders:
        if len(paths) == len(unnamed) and all(
            same_shape(free[k], wanted[path]) for k, path in zip(unnamed, paths, strict=True)
        ):
            return pairs | dict(zip(paths, unnamed, strict=True))
    # a name that fits, of another shape: the shape is the mistake
    for path in wanted:
        if path not in pairs:
            exact = [k for k in free if _exactly(k, path)]
            fitting = exact or [k for k in free if _alike(k, path)]
            if len(fitting) == 1:
                pairs[path] = fitting[0]
                free.pop(fitting[0])
    return pairs


def _is_value(path: str) -> bool:
    """Whether it is picked out of something that is no list of gradients: hs[t - 1]."""
    holder, bracket, inside = path.partition("[")
    picked = bracket and inside.endswith("]") and not re.fullmatch(r"[-\d\]\[]+|'.*'", inside[:-1])
    return bool(picked) and holder.isidentifier() and not holder.startswith(BEFORE)


def same_shape(a: Any, b: Any) -> bool:
    """Equal shapes, but for axes of length 1: `(out,)` is a `(1, out)` bias."""
    return [n for n in a.shape if n != 1] == [n for n in b.shape if n != 1]


def last_word(path: str) -> str:
    """The last word of a path: `w1` of `net.params['W1']`."""
    words = _parts(path)
    return words[-1].lower().lstrip("_") if words else path.lower()


def names_gradient(name: str, parameter: str) -> bool:
    """Whether a name is that of a parameter's gradient: dW1 of W1."""
    return _exactly(name, parameter)


def _exactly(gradient: str, parameter: str) -> bool:
    if _index(gradient) != _index(parameter):
        return False
    whole = _word(gradient) in HOLDERS and _word(parameter) in PARAMETERS
    return _word(parameter) in _names(gradient) or (whole and bool(_index(parameter)))


def _alike(gradient: str, parameter: str) -> bool:
    """The same but for the index, or with the layer's number in the name."""
    word, index = _word(parameter), _index(parameter)
    return any(name in (word, f"{word}{index}", f"{word}_{index}") for name in _names(gradient))


def _parts(path: str) -> list[str]:
    return [p for p in re.split(r"[.\[\]'\"()\s]+", path) if p]


def _word(path: str) -> str:
    words = [p for p in _parts(path) if not p.isdigit()]
    word = words[-1].lower().lstrip("_") if words else path.lower()
    return SHORT.get(word, word)


def _index(path: str) -> str:
    """The numbers in a path: those of lists, and at the end of names."""
    numbers = [p for p in _parts(path) if p.isdigit()]
    return ".".join(numbers)


def _names(gradient: str) -> set[str]:
    """What the parameter may be called whose gradient has this path."""
    word = _word(gradient)
    found = set()
    for before in BEFORE:
        if word.startswith(before) and len(word) > len(before):
            rest = word[len(before) :].lstrip("_")
            found |= {rest, SHORT.get(rest, rest)}
    for after in AFTER:
        if word.endswith(after) and len(word) > len(after):
            rest = word[: -len(after)].rstrip("_")
            found |= {rest, SHORT.get(rest, rest)}
    words = [p.lower() for p in _parts(gradient) if not p.isdigit()]
    if len(words) > 1 and any(w.lstrip("_") in HOLDERS or w.endswith("grads") for w in words[:-1]):
        found.add(word)
    return found
