"""The calculus of matrix products: matmul in every NumPy form, dot, tensordot, outer, einsum."""

import math
from typing import Any

import numpy as np

from tinygrad_fm.engine import defvjp, primitive, rewrite, sum_to
from tinygrad_fm.rules.products import multiply
from tinygrad_fm.rules.reductions import identity


def turned(matrix: Any) -> Any:
    """The matrix transpose; `.T` is ten times as fast as np.swapaxes."""
    return matrix.T if matrix.ndim == 2 else np.swapaxes(matrix, -1, -2)


def product(a: Any, b: Any) -> Any:
    """a @ b, of arrays without what np.matmul does to find that they are arrays."""
    plain = a.ndim == b.ndim == 2 and type(a) is type(b) is np.ndarray
    return multiply(a, b) if plain else np.matmul(a, b)


def _matmul_left(g: Any, _y: Any, _a: Any, b: Any) -> Any:
    """dA = dY B^T (report 000, 3.1.2); a vector is a matrix of one row or one column."""
    if b.ndim == 1:
        return g[..., None] * b  # the engine sums the batch axes, here and below
    rows = g[..., None, :] if _a.ndim == 1 else g
    return product(rows, turned(b))


def _matmul_right(g: Any, _y: Any, a: Any, _b: Any) -> Any:
    """dB = A^T dY (report 000, 3.1.3)."""
    if _b.ndim == 1:
        return a * g[..., None]
    if a.ndim == 1:
        return a[:, None] * g[..., None, :]
    return product(turned(a), g)


defvjp(np.matmul, _matmul_left, _matmul_right, by=multiply)


def _dot(a: Any, b: Any) -> Any:
    """np.dot: a sum over the last axis of a and the last but one of b; scalars multiply."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    if np.ndim(b) <= 2:
        return np.matmul(a, b)
    return np.tensordot(a, b, axes=(-1, -2))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """One matrix product: a's summed axes moved to the end, b's to the front."""
    if isinstance(axes, int):
        axes_a, axes_b = tuple(range(-axes, 0)), tuple(range(axes))
    else:
        axes_a, axes_b = ((i,) if isinstance(i, int) else tuple(i) for i in axes)
    shape_a, shape_b = np.shape(a), np.shape(b)
    ndim_a, ndim_b = len(shape_a), len(shape_b)
    sum_a, sum_b = [i % ndim_a for i in axes_a], [i % ndim_b for i in axes_b]
    if [shape_a[i] for i in sum_a] != [shape_b[i] for i in sum_b]:
        raise ValueError(
            f"tensordot sums axes of equal length, not axes {tuple(axes_a)} of {shape_a} against "
            f"axes {tuple(axes_b)} of {shape_b}"
        )
    free_a = [i for i in range(ndim_a) if i not in sum_a]
    free_b = [i for i in range(ndim_b) if i not in sum_b]
    inner = math.prod(shape_a[i] for i in sum_a)
    left = np.reshape(
        np.transpose(a, free_a + sum_a), (math.prod(shape_a[i] for i in free_a), inner)
    )
    right = np.reshape(
        np.transpose(b, sum_b + free_b), (inner, math.prod(shape_b[i] for i in free_b))
    )
    return np.reshape(
        product(left, right), [shape_a[i] for i in free_a] + [shape_b[i] for i in free_b]
    )


rewrite(np.dot, _dot)
rewrite(np.tensordot, _tensordot)
# by products with a vector, where those of a product with broadcasting need a matrix each
defvjp(
    np.outer,
    lambda g, _y, _a, b: np.reshape(product(g, np.reshape(b, (-1,))), _a.shape),
    lambda g, _y, a, _b: np.reshape(product(np.reshape(a, (-1,)), g), _b.shape),
)


# einsum: operands first, the subscripts as an explicit string without ellipsis as a keyword


def _einsum_rule(i: int, g: Any, _y: Any, *operands: Any, subscripts: str = "") -> Any:
    """Put the gradient in operand i's place and sum again; what i alone had is spread."""
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    mine = terms[i]
    shape = operands[i].shape
    factors: list[Any] = [g]
    names = [output]
    for j, (term, operand) in enumerate(zip(terms, operands, strict=True)):
        if j != i:
            factors.append(operand)
            names.append(term)
    wanted = ""
    unused = iter(sorted(set(_LETTERS) - set(subscripts)))
    for letter, length in zip(mine, shape, strict=True):
        if letter in wanted:  # a repeated letter took the diagonal
            twin = next(unused)
            factors.append(identity(g, length))
            names.append(letter + twin)
            wanted += twin
        else:
            # summed within operand i alone, or beside axes of length 1 only
            if not any(
                _length(f, n, letter) == length for f, n in zip(factors, names, strict=True)
            ):
                factors.append(np.ones_like(g, shape=(length,)))
                names.append(letter)
            wanted += letter
    return sum_to(einsum(*factors, subscripts=",".join(names) + "->" + wanted), shape)


def _length(factor: Any, name: str, letter: str) -> int:
    """How long the axis of that letter is; 0 where there is none."""
    return factor.shape[name.index(letter)] if letter in name else 0


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _einsum_forward(*operands: Any, subscripts: str) -> Any:
    # three factors and more: pairwise products are far cheaper than one loop over all letters
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2)


einsum = primitive(_einsum_forward, variadic=_einsum_rule, name="einsum")


def _explicit_subscripts(subscripts: str, ndims: list[int]) -> str:
    """Write an einsum's subscripts with a letter for each axis, and with its output.

    Raises:
        ValueError: the number of terms or of letters does not fit the operands.
    """
    subscripts = subscripts.replace(" ", "")
    inputs, arrow, output = subscripts.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum {subscripts!r} names {len(terms)} operands, not {len(ndims)}")
    spare = [c for c in reversed(_LETTERS) if c not in subscripts]
    longest = max(n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True))
    dots = "".join(spare[: max(longest, 0)])
    for i, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        missing = ndim - len(term.replace("...", ""))
        if missing < 0 or (missing and "..." not in term):
            raise ValueError(f"einsum {subscripts!r}: {term!r} does not fit {ndim} dimensions")
        terms[i] = term.replace("...", dots[len(dots) - missing :])
    if arrow:
        output = output.replace("...", dots)
    else:
        letters = "".join(terms)
        output = (dots if "..." in inputs else "") + "".join(
            sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots)
        )
    return ",".join(terms) + "->" + output


def _einsum(*args: Any, optimize: Any = False) -> Any:
    if not isinstance(args[0], str):  # einsum(a, [0, 1], b, [1, 2], [0, 2])
        operands = args[0 : 2 * (len(args) // 2) : 2]
        lists = args[1 : 2 * (len(args) // 2) : 2]
        spell: Any = lambda axes: "".join("..." if i is Ellipsis else _LETTERS[i] for i in axes)
        subscripts = ",".join(spell(axes) for axes in lists)
        if len(args) % 2:
            subscripts += "->" + spell(args[-1])
    else:
        subscripts, operands = args[0], args[1:]
    operands = tuple([a if hasattr(a, "dtype") else np.asarray(a) for a in operands])
    ndims = [a.ndim for a in operands]
    return einsum(*operands, subscripts=_explicit_subscripts(subscripts, ndims))


rewrite(np.einsum, _einsum)
