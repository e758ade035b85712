"""The operators of a Tensor, written out: NumPy's mixin would cost more than the operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm.engine import registry
from tinygrad_fm.recording import apply_one, apply_two

if TYPE_CHECKING:
    from tinygrad_fm.tensor import Tensor

ADD = registry[np.add]
SUBTRACT = registry[np.subtract]
MULTIPLY = registry[np.multiply]
DIVIDE = registry[np.divide]
FLOOR_DIVIDE = registry[np.floor_divide]
REMAINDER = registry[np.remainder]
MATMUL = registry[np.matmul]
BITWISE_AND = registry[np.bitwise_and]
BITWISE_OR = registry[np.bitwise_or]
BITWISE_XOR = registry[np.bitwise_xor]
LEFT_SHIFT = registry[np.left_shift]
RIGHT_SHIFT = registry[np.right_shift]
POWER = registry[np.power]
# as ndarray's own ** does: exact, and far faster than pow()
SPECIAL_POWERS = {2: registry[np.square], 0.5: registry[np.sqrt], -1: registry[np.reciprocal]}
NEGATIVE = registry[np.negative]
POSITIVE = registry[np.positive]
ABSOLUTE = registry[np.absolute]
INVERT = registry[np.invert]
EQUAL = registry[np.equal]
NOT_EQUAL = registry[np.not_equal]
LESS = registry[np.less]
LESS_EQUAL = registry[np.less_equal]
GREATER = registry[np.greater]
GREATER_EQUAL = registry[np.greater_equal]


class Operators:
    """Arithmetic, comparison and bitwise operators; `x += y` binds x to the result's node."""

    __slots__ = ()
    dtype: Any

    def _assign(self, value: Any) -> Any:
        raise NotImplementedError

    def __add__(self, other: Any) -> Tensor:
        return apply_two(ADD, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return apply_two(ADD, other, self)

    def __iadd__(self, other: Any) -> Tensor:
        return self._assign(apply_two(ADD, self, other))

    def __sub__(self, other: Any) -> Tensor:
        return apply_two(SUBTRACT, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return apply_two(SUBTRACT, other, self)

    def __isub__(self, other: Any) -> Tensor:
        return self._assign(apply_two(SUBTRACT, self, other))

    def __mul__(self, other: Any) -> Tensor:
        return apply_two(MULTIPLY, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return apply_two(MULTIPLY, other, self)

    def __imul__(self, other: Any) -> Tensor:
        return self._assign(apply_two(MULTIPLY, self, other))

    def __truediv__(self, other: Any) -> Tensor:
        return apply_two(DIVIDE, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return apply_two(DIVIDE, other, self)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._assign(apply_two(DIVIDE, self, other))

    def __floordiv__(self, other: Any) -> Tensor:
        return apply_two(FLOOR_DIVIDE, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return apply_two(FLOOR_DIVIDE, other, self)

    def __ifloordiv__(self, other: Any) -> Tensor:
        return self._assign(apply_two(FLOOR_DIVIDE, self, other))

    def __mod__(self, other: Any) -> Tensor:
        return apply_two(REMAINDER, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return apply_two(REMAINDER, other, self)

    def __imod__(self, other: Any) -> Tensor:
        return self._assign(apply_two(REMAINDER, self, other))

    def __matmul__(self, other: Any) -> Tensor:
        return apply_two(MATMUL, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return apply_two(MATMUL, other, self)

    def __imatmul__(self, other: Any) -> Tensor:
        return self._assign(apply_two(MATMUL, self, other))

    def __and__(self, other: Any) -> Tensor:
        return apply_two(BITWISE_AND, self, other)

    def __rand__(self, other: Any) -> Tensor:
        return apply_two(BITWISE_AND, other, self)

    def __iand__(self, other: Any) -> Tensor:
        return self._assign(apply_two(BITWISE_AND, self, other))

    def __or__(self, other: Any) -> Tensor:
        return apply_two(BITWISE_OR, self, other)

    def __ror__(self, other: Any) -> Tensor:
        return apply_two(BITWISE_OR, other, self)

    def __ior__(self, other: Any) -> Tensor:
        return self._assign(apply_two(BITWISE_OR, self, other))

    def __xor__(self, other: Any) -> Tensor:
        return apply_two(BITWISE_XOR, self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return apply_two(BITWISE_XOR, other, self)

    def __ixor__(self, other: Any) -> Tensor:
        return self._assign(apply_two(BITWISE_XOR, self, other))

    def __lshift__(self, other: Any) -> Tensor:
        return apply_two(LEFT_SHIFT, self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return apply_two(LEFT_SHIFT, other, self)

    def __ilshift__(self, other: Any) -> Tensor:
        return self._assign(apply_two(LEFT_SHIFT, self, other))

    def __rshift__(self, other: Any) -> Tensor:
        return apply_two(RIGHT_SHIFT, self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return apply_two(RIGHT_SHIFT, other, self)

    def __irshift__(self, other: Any) -> Tensor:
        return self._assign(apply_two(RIGHT_SHIFT, self, other))

    def __pow__(self, other: Any) -> Tensor:
        plain = isinstance(other, (int, float)) and (other == 2 or self.dtype.kind == "f")
        if plain and other in SPECIAL_POWERS:
            return apply_one(SPECIAL_POWERS[other], self)
        return apply_two(POWER, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return apply_two(POWER, other, self)

    def __ipow__(self, other: Any) -> Tensor:
        return self._assign(self.__pow__(other))

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    def __neg__(self) -> Tensor:
        return apply_one(NEGATIVE, self)

    def __pos__(self) -> Tensor:
        return apply_one(POSITIVE, self)

    def __abs__(self) -> Tensor:
        return apply_one(ABSOLUTE, self)

    def __invert__(self) -> Tensor:
        return apply_one(INVERT, self)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return apply_two(EQUAL, self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return apply_two(NOT_EQUAL, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return apply_two(LESS, self, other)

    def __le__(self, other: Any) -> Tensor:
        return apply_two(LESS_EQUAL, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return apply_two(GREATER, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return apply_two(GREATER_EQUAL, self, other)

    # equality is element-wise, so a Tensor is a key by identity
    __hash__ = object.__hash__
