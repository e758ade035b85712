"""Tensor: an array that remembers how it was made, and so can be differentiated."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_fm import engine, writing
from tinygrad_fm.array_methods import ArrayMethods
from tinygrad_fm.dispatch import into, masked_into, rewritten, ufunc_method, without_rule
from tinygrad_fm.engine import (
    PACKAGE,
    GraphError,
    Node,
    UnknownKeywordError,
    registry,
    rewrites,
    state,
)
from tinygrad_fm.operators import Operators
from tinygrad_fm.recorded import (
    Recorded,
    as_array,
    as_real_array,
    holds_tensor,
    make,
    recorded,
    stacked,
)
from tinygrad_fm.recording import apply, apply_one, apply_two, enable_grad, no_grad
from tinygrad_fm.rules import special
from tinygrad_fm.rules.indexing import getitem
from tinygrad_fm.sharing import Family, Share

Hook = Callable[["Tensor"], "Tensor | None"]


class Tensor(Recorded, Operators, ArrayMethods):
    """An array together with its place in the graph of operations.

    NumPy's functions, operators, methods and indexing work on it as on an ndarray and are recorded
    where something leads to a Tensor that requires a gradient.

    Args:
        data: an array, a number, or nested lists of numbers. The dtype is kept (lists of floats
            give float64, as in NumPy).
        requires_grad: collect a gradient in `.grad` when `backward()` is called on a result.
        dtype: convert to this dtype.
        copy: whether to copy an ndarray. By default a Tensor that requires a gradient owns its
            array, so that updating it never changes yours, and any other shares your memory.
        name: how the Tensor is called in drawings and error messages.

    Raises:
        TypeError: requires_grad with a dtype that is no float, or data that is no array of numbers.
    """

    __slots__ = ()
    __array_priority__ = 1000.0

    def __init__(
        self,
        data: Any,
        requires_grad: bool = False,
        *,
        dtype: Any = None,
        copy: bool | None = None,
        name: str | None = None,
    ):
        if isinstance(data, Tensor):
            if data._node is not None:
                raise TypeError(
                    "Tensor(t) would lose the graph of t; write t itself, t.detach() or t.copy()"
                )
            owns = copy or (copy is None and requires_grad)
            if state.mode.trace is not None and (owns or dtype not in (None, data.dtype)):
                state.mode.trace.left(data, "Tensor(t)")
            data = data._array
        if isinstance(data, (list, tuple)):
            data = np.array(data, dtype=dtype)
        elif not hasattr(data, "__array_ufunc__") or isinstance(data, np.generic):
            owns = copy or (copy is None and requires_grad)
            data = np.array(data, dtype=dtype) if owns else np.asarray(data, dtype=dtype)
        elif dtype is not None and data.dtype != dtype:
            data = data.astype(dtype)
        elif copy or (copy is None and requires_grad):
            data = np.copy(data, order="K")
        if isinstance(data, np.ndarray) and type(data) is not np.ndarray:
            if isinstance(data, np.ma.MaskedArray):
                raise TypeError("a Tensor has no mask; write array.filled(value), or np.where")
            data = np.asarray(data)
        if data.dtype.kind not in "fiubc":
            raise TypeError(
                f"a Tensor holds numbers, not {data.dtype}: {str(data)[:60]!r}; lists must be "
                "rectangular, and words must be encoded first (data.one_hot, nn.Embedding)"
            )
        self._array = data
        self._node = None
        self._grad = None
        self._memory = None
        self._view = None
        self.name = name
        if requires_grad:
            self.requires_grad_()

    # ---- what it is ------------------------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The values, as the ndarray itself (no copy). Assigning copies into that array.

        Raises:
            ValueError: an assigned array has another shape, or values that do not fit the dtype.
        """
        mode = state.mode
        if mode.trace is not None:
            self._leave_trace("t.data")
        if self._node is not None and mode.transforms:
            self._has_left("t.data")
        return self._array

    @data.setter
    def data(self, value: Any) -> None:
        value = value._array if isinstance(value, Tensor) else as_array(value)
        if value.shape != self._array.shape:
            raise ValueError(f"cannot assign data of shape {value.shape} to {self._array.shape}")
        self._changes()
        np.copyto(self._array, value, casting="same_kind")
        self._changed((), value)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward()` accumulated: a Tensor of the same shape, or None.

        Raises:
            ValueError: what is assigned has another shape.
        """
        if state.mode.trace is not None:
            state.mode.trace.touch(self)
        grad: Tensor | None = self._grad
        if grad is not None:
            _ = grad._array  # that of a compiled step may be computed only now
        return grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            value = value if isinstance(value, Tensor) else Tensor(value)
            if value.shape != self.shape:
                raise ValueError(f"a gradient of shape {value.shape} for data of {self.shape}")
        if state.mode.trace is not None:
            state.mode.trace.touch(self, read=False)
        self._grad = value

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this Tensor."""
        return self._node is not None and self._node.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> bool:
        """Whether this is an input of the graph, not a result."""
        return self._node is None or self._node.primitive is None

    @property
    def node(self) -> Node | None:
        """The node of the graph that stands for this Tensor; None where nothing is recorded."""
        return self._node

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start or stop collecting a gradient for this Tensor; returns it.

        Raises:
            TypeError: the dtype is no float.
            GraphError: stopping at a result: write `t.detach()` instead.
        """
        if requires_grad == self.requires_grad:
            return self
        if not self.is_leaf:
            raise GraphError(
                f"requires_grad_({requires_grad}) on the result of {self._node.name}: only leaves "  # type: ignore[union-attr]
                "choose; write t.detach() for a Tensor without a graph"
            )
        if requires_grad and self._array.dtype.kind != "f":
            raise TypeError(
                f"a gradient needs a float dtype, not {self._array.dtype}; write "
                "x.astype(np.float64) first, or 1.0 instead of 1"
            )
        if requires_grad:
            self._node = engine.leaf(self._array, requires_grad=True, name=self.name)
            self._node.owner = weakref.ref(self)
        else:
            self._node = None
        return self

    def detach(self) -> Tensor:
        """The same values (shared memory) without the graph."""
        return make(self._array, None)

    def item(self) -> Any:
        """The only element, as a Python number.

        Raises:
            ValueError: there are several.
        """
        if state.mode.trace is not None:
            state.mode.trace.left(self, "t.item()")
        if self._node is not None and state.mode.transforms:
            self._has_left("t.item()")
        return self._array.item()

    # ---- derivatives -----------------------------------------------------------------------------

    def backward(
        self,
        gradient: Any = None,
        *,
        retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:
        """Add the gradient of this Tensor to `.grad` of every leaf that requires one.

        Args:
            gradient: the gradient of some scalar with respect to this Tensor, of the same shape;
                1 by default, for a Tensor of one element.
            retain_graph: keep the graph for another backward pass; by default only if
                `create_graph`.
            create_graph: record the backward pass, so that the gradients can be differentiated.

        Raises:
            GraphError: nothing here requires a gradient, the graph was freed by an earlier pass, or
                an array that it needs was changed in place.
            ValueError: `gradient` is missing for several elements, or has another shape.
        """
        node = self._node
        if node is None or not node.requires_grad:
            raise GraphError(
                f"backward() on {self._describe()}: nothing that requires a gradient leads to it; "
                "create the inputs with Tensor(..., requires_grad=True), and do not compute under "
                "no_grad() or through comparisons, argmax or rounding alone (the results of a "
                "compiled function have no graph: compile the whole step, backward() included)"
            )
        keep = create_graph if retain_graph is None else retain_graph
        trace = state.mode.trace
        seed = self._seed(gradient, create_graph or trace is not None)
        if create_graph:
            with enable_grad():
                results = engine.backward([(node, seed)], wrap=make, keep=keep)
        elif trace is not None:  # the rules run on Tensors, so that each call in them is seen
            with trace.backward_pass(), no_grad():
                results = engine.backward([(node, seed)], wrap=_unrecorded, keep=keep)
        else:
            results = engine.backward([(node, seed)], keep=keep)
        with _accumulating, enable_grad():  # threads may share leaves
            for reached in results:
                tensor = reached.owner() if reached.owner is not None else None
                if tensor is not None:
                    sole = sys.getrefcount(results[reached]) == _SOLE
                    tensor._accumulate(results[reached], sole)

    def _seed(self, gradient: Any, create_graph: bool) -> Any:
        if gradient is None:
            if self._array.size != 1:
                raise ValueError(
                    f"backward() of {self._describe()} needs gradient=..., an array of its shape; "
                    "or reduce it to a number first, as in t.sum().backward()"
                )
            ones = np.ones_like(self._array)
            return make(ones, None) if create_graph else ones
        raw = as_real_array(gradient, "gradient=")
        if raw.shape != self.shape:
            raise ValueError(f"gradient has shape {raw.shape}; {self._describe()} needs its own")
        if create_graph:
            seed = gradient if isinstance(gradient, Tensor) else make(raw, None)
            return seed if seed.dtype == self.dtype else seed.astype(self.dtype)
        return raw if raw.dtype == self.dtype else raw.astype(self.dtype)

    def _accumulate(self, g: Any, sole: bool) -> None:
        """Add to `.grad`, which shares memory with no rule's result and no older gradient.

        `sole`: nothing but the backward pass holds `g`, so it need not be copied.
        """
        if state.mode.trace is not None:
            state.mode.trace.touch(self)
            g = g if isinstance(g, Tensor) else make(g, None)
            self._grad = g if self._grad is None else self._grad + g
        elif isinstance(g, Tensor):
            self._grad = np.copy(g) if self._grad is None else self._grad + g
        elif self._grad is None:
            if not (sole and type(g) is np.ndarray and g.base is None and g.flags.writeable):
                g, given = np.empty_like(self._array), g
                np.copyto(g, given)
            self._grad = make(g, None)
        else:
            self._grad = make(as_array(self._grad._array + g), None)

    def retain_grad(self) -> Tensor:
        """Collect `.grad` for this result as well, not for leaves only; returns the Tensor.

        Raises:
            GraphError: the Tensor does not require a gradient.
        """
        if not self.requires_grad:
            raise GraphError(f"retain_grad() on {self._describe()}, which requires no gradient")
        self._node.owner = weakref.ref(self)  # type: ignore[union-attr]
        return self

    def register_hook(self, hook: Hook) -> Callable[[], None]:
        """Call `hook(gradient)` when this Tensor's gradient is known; what it returns replaces it.

        Returns:
            a function that removes the hook.

        Raises:
            GraphError: the Tensor does not require a gradient.
        """
        node = self._node
        if node is None or not node.requires_grad:
            raise GraphError(f"register_hook() on {self._describe()}, which requires no gradient")

        def call(g: Any) -> Any:
            if not isinstance(g, Tensor):
                g = as_array(g)[...] if isinstance(g, np.ndarray) else as_array(g)
                if isinstance(g, np.ndarray):
                    g.flags.writeable = False  # others may hold the same array
            answer: Any = hook(g if isinstance(g, Tensor) else make(g, None))
            if answer is None:
                return None
            answer = answer if isinstance(answer, Tensor) else Tensor(answer)
            if answer.shape != node_shape:
                raise ValueError(
                    f"a hook returned a gradient of shape {answer.shape} for {node_shape}"
                )
            if answer.dtype != node.dtype:
                answer = answer.astype(node.dtype)
            return answer if isinstance(g, Tensor) else answer._array

        node_shape = node.shape
        node.hooks = [*(node.hooks or []), call]

        def remove() -> None:
            node.hooks = [h for h in node.hooks or [] if h is not call] or None

        return remove

    # ---- changing in place -----------------------------------------------------------------------

    def _changes(self) -> None:
        """Before writing into the array."""
        if state.mode.trace is not None:
            state.mode.trace.assigns(self._array)

    def _changed(self, parts: Any = None, value: Any = None) -> None:
        """After writing `value` at the index `parts`; None where it was done in another way."""
        engine.mark_changed(engine.memory_of(self._array))
        if state.mode.trace is not None:
            state.mode.trace.assigned(self._array, parts, value)
        if type(self._memory) is Share:
            writing.wrote_plainly(self)
        if state.mode.observer is not None:
            state.mode.observer.computed(engine.assign, (self._array,), {}, self._array, self._node)

    def _assign(self, value: Tensor) -> Tensor:
        """Become `value`, as after `x += y`: this Tensor is bound to the new node.

        Raises:
            GraphError: a leaf that requires a gradient, or another Tensor that shares memory.
            ValueError: another shape. TypeError: a dtype that does not fit.
        """
        if value.shape != self.shape:
            raise ValueError(
                f"the result has shape {value.shape} and does not fit in place into {self.shape}"
            )
        if not np.can_cast(value.dtype, self.dtype, "same_kind"):
            raise TypeError(
                f"the result is {value.dtype} and does not fit in place into {self.dtype}; "
                "write x = x + y"
            )
        if value._node is None and not (state.mode.recording and self._is_recorded()):
            trace = state.mode.trace
            if trace is not None and trace.is_own(self) and value.dtype == self.dtype:
                self._array = value._array  # nobody else sees the old numbers
                return self
            self._changes()
            np.copyto(self._array, value._array, casting="same_kind")
            self._changed((), value._array)
            return self
        writing.rebind(self, value if value.dtype == self.dtype else value.astype(self.dtype))
        return self

    def _is_recorded(self) -> bool:
        """Whether this, or what it is a part of, is in a graph, so that changing it is recorded."""
        return self._node is not None or (self._view is not None and writing.is_filled_above(self))

    def __getitem__(self, index: Any) -> Any:
        parts = _index_parts(index)
        if self._memory is None and not (self.is_leaf and self.requires_grad):
            self._memory = Share(Family(self), None)
        made = apply(getitem, (self, *parts), {})
        if made._memory is not None:
            writing.part_of(made, self, parts)
        return made

    def __setitem__(self, index: Any, value: Any) -> None:
        parts = _index_parts(index)
        if isinstance(value, Tensor) and state.mode.trace is not None:
            state.mode.trace.reads((value,))
        in_graph = isinstance(value, Tensor) and value._node is not None
        if in_graph and value._view is not None and value._view[0]() is self:
            old = value._view[1]
            if len(old) == len(parts) and all(a is b for a, b in zip(old, parts, strict=True)):
                return  # the end of x[i] += v, which has changed x already
        if not in_graph and isinstance(value, (list, tuple)) and holds_tensor(value):
            value = stacked(value)
            in_graph = value._node is not None
        if not (state.mode.recording and (in_graph or self._is_recorded())):
            plain = tuple(p._array if isinstance(p, Tensor) else p for p in parts)
            value = value._array if isinstance(value, Tensor) else value
            self._changes()
            self._array[plain] = value
            self._changed(plain, value)
            return
        if in_graph and value.requires_grad and self._array.dtype.kind != "f":
            raise TypeError(
                f"assigning a differentiable {value.dtype} Tensor into {self.dtype} would cut off "
                "its decimals and its gradient; create the array with dtype=float"
            )
        writing.assign(self, parts, value)

    # ---- NumPy's two protocols -------------------------------------------------------------------

    _record = staticmethod(apply)  # by which a Primitive knows a Tensor

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        out = keywords.pop("out", (None,))[0]
        if method != "__call__":
            return ufunc_method(ufunc, method, inputs, keywords, out)
        found = registry.get(ufunc) or special.find(ufunc)
        if found is None or keywords:
            written = rewrites.get(ufunc)
            if written is not None:
                result = rewritten(ufunc, written, inputs, keywords)
            elif "where" in keywords and out is not None:
                return masked_into(ufunc, inputs, keywords, out)
            else:
                result = without_rule(ufunc, inputs, keywords, found)
        elif ufunc.nin == 2 and ufunc.nout == 1:
            result = apply_two(found, *inputs)
        elif ufunc.nin == 1 and ufunc.nout == 1:
            result = apply_one(found, *inputs)
        else:
            result = apply(found, inputs, keywords)
        return result if out is None else into(out, result)

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        out = keywords.pop("out", None)
        written = rewrites.get(function)
        if written is not None:
            result = rewritten(function, written, args, keywords)
        else:
            found = registry.get(function)
            if found is None:
                result = without_rule(function, args, keywords, None)
            else:
                try:
                    args, keywords = found.bind(args, keywords)
                except UnknownKeywordError:
                    if state.mode.recording and recorded((args, keywords)):
                        raise
                    result = without_rule(function, args, keywords, found)
                else:
                    result = apply(found, args, keywords)
        return result if out is None else into(out, result)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self._refuse_conversion("an array", "np.asarray(t)")
        if copy is False or (copy is None and (dtype is None or dtype == self._array.dtype)):
            return self._array
        return np.array(self._array, dtype=dtype)

    def __float__(self) -> float:
        self._refuse_conversion("a float", "float(t)")
        return float(self._array)

    def __int__(self) -> int:
        self._refuse_conversion("an int", "int(t)")
        return int(self._array)

    def __index__(self) -> int:
        self._refuse_conversion("an index", "an index")
        return self._array.__index__()

    def __bool__(self) -> bool:
        if state.mode.trace is not None:
            state.mode.trace.left(self, "the truth value")
        if self._array.size == 1:
            return bool(self._array)
        raise TypeError(
            f"the truth value of {self._describe()} is ambiguous; write t.any(), t.all(), or "
            "np.where(t, a, b) in place of `if`"
        )

    def _leave_trace(self, how: str) -> None:
        if not sys._getframe(2).f_code.co_filename.startswith(PACKAGE):
            state.mode.trace.left(self, how)

    def _refuse_conversion(self, to: str, written: str) -> None:
        if state.mode.trace is not None:
            state.mode.trace.left(self, written)
        if self._node is not None:
            raise TypeError(
                f"write t.item() for the number or t.detach() for the values: {self._describe()} "
                f"is recorded, and cannot become {to} without losing its graph (by {written}, "
                "math.exp(t), array[i] = t or a plot). To keep the derivative, use NumPy's "
                "functions (np.exp, np.stack), and fill an array that tg.zeros or the np of "
                "`import tinygrad_fm.numpy as np` made; testing.grad_or_numeric needs no graph"
            )

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if self._array.ndim == 0:
            raise TypeError("a Tensor of one number cannot be iterated over")
        return (self[i] for i in range(len(self._array)))

    def __contains__(self, value: Any) -> bool:
        if state.mode.trace is not None:
            state.mode.trace.left(self, "value in t")
        return bool((self._array == (value._array if isinstance(value, Tensor) else value)).any())

    # ---- printing, copying -----------------------------------------------------------------------

    def __repr__(self) -> str:
        text = np.array2string(self._array, separator=", ", prefix="Tensor(")
        if self._array.dtype not in (np.float64, np.int64, np.bool_):
            text += f", dtype={self._array.dtype}"
        if self._node is not None and self._node.primitive is not None:
            text += f", op={self._node.name}"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"Tensor({text})"

    def __format__(self, spec: str) -> str:
        if spec and self._node is not None and state.mode.transforms:
            self._has_left("a text")
        return format(self._array.item() if self._array.size == 1 and spec else str(self), spec)

    def __str__(self) -> str:
        return repr(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        self._refuse_copy("deepcopy")
        rebuild, args = self.__reduce__()
        made = rebuild(args[0], np.copy(args[1], order="K"), *args[2:])
        memo[id(self)] = made
        return made

    def __reduce__(self) -> Any:
        self._refuse_copy("pickle")
        grad = None if self._grad is None else self._grad._array
        return _rebuild, (type(self), self._array, self.requires_grad, self.name, grad)

    def _refuse_copy(self, how: str) -> None:
        if not self.is_leaf:
            raise TypeError(
                f"{how} of {self._describe()}, a result of {self._node.name}, would copy its whole "  # type: ignore[union-attr]
                "graph; write t.detach() for the values alone"
            )


def _rebuild(kind: type[Tensor], data: Any, requires_grad: bool, name: Any, grad: Any) -> Tensor:
    made = kind.__new__(kind)
    made._array, made.name = data, name
    made._node = made._grad = made._memory = made._view = None
    if requires_grad:
        made.requires_grad_()
    if grad is not None:
        made._grad = make(np.copy(grad, order="K"), None)
    return made


def _unrecorded(value: Any, node: Node | None) -> Tensor:
    """What the rules of a traced backward pass are given: Tensors, but without a graph."""
    made: Tensor = make(value, None)
    return made


_accumulating = threading.RLock()
_held = {0: object()}
_SOLE = sys.getrefcount(_held[0])  # what it says of a value that only a dictionary holds


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of a Tensor, array, number or list; np.shape would go through the dispatch."""
    shape = getattr(value, "shape", None)
    return np.shape(value) if shape is None else shape


def array_of(value: Any) -> Any:
    """The array of a Tensor as it is; anything else as ndarray."""
    return value._array if isinstance(value, Tensor) else np.asarray(value)


def _index_parts(index: Any) -> tuple[Any, ...]:
    parts = index if type(index) is tuple else (index,)
    # an empty list has no integers to tell that it is made of them
    return tuple([np.asarray(p, None if p else int) if type(p) is list else p for p in parts])


Recorded.result_type = Tensor
