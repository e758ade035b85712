"""Module: the base of layers, models and losses; parameters are found among its attributes."""

from __future__ import annotations

import contextlib
import reprlib
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_fm.engine import find_origin, latest_setting, state
from tinygrad_fm.nn import inference
from tinygrad_fm.operand_errors import explain_call
from tinygrad_fm.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a model learns: it requires a gradient unless it is frozen.

    Args:
        data: its initial values; the Parameter owns a copy.
        requires_grad: False freezes it.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, **options: Any):
        super().__init__(data, requires_grad, copy=True, **options)


class Buffer(Tensor):
    """State of a model that is saved with it but not learned, such as running statistics.

    Args:
        data: its initial values; the Buffer owns a copy.
    """

    __slots__ = ()

    def __init__(self, data: Any, **options: Any):
        super().__init__(data, copy=True, **options)


class Scope:
    """One call of a module under way, and the call it is part of; the graph's nodes keep it."""

    __slots__ = ("__weakref__", "_title", "kind", "module", "origin", "outer")

    def __init__(self, outer: Scope | None, module: Module):
        self._title: str | None = None
        # The user's line: for layers of the library the one that called the outermost of them,
        # found once; for a module of the user's own None, and each operation finds its own.
        self.origin: Any = None
        if type(module).__module__.startswith("tinygrad_fm."):
            self.origin = (outer and outer.origin) or find_origin(3)
        self.outer = outer
        self.module = weakref.ref(module)
        self.kind = type(module).__name__

    def reference(self) -> weakref.ref[Scope]:
        """A weak reference to this call, to recognise it by."""
        return weakref.ref(self)

    def title(self) -> str:
        """This call's name within the one around it, and the kind of module: `0 (Linear)`."""
        if self._title is None:
            name = self.outer and _child_name(self.outer.module(), self.module())
            self._title = f"{name} ({self.kind})" if name else self.kind
        return self._title

    def path(self) -> str:
        """The calls from the outermost to this one: `Sequential > 0 (Linear)`."""
        titles = [self.title()]
        scope = self
        while scope.outer is not None:
            scope = scope.outer
            titles.append(scope.title())
        return " > ".join(reversed(titles))


def _child_name(parent: Module | None, child: Module | None) -> str | None:
    if parent is None or child is None:
        return None
    own = vars(parent).items()
    direct = next((name for name, found in own if found is child and name[0] != "_"), None)
    if direct is not None:
        return direct
    direct = next((name for name, found in _children(parent) if found is child), None)
    if direct is not None:
        return direct
    return next((name for name, found in parent.named_modules() if found is child and name), None)


class Module:
    """Something with parameters that is called on arrays or Tensors.

    Write `forward`, and keep parameters and other modules as attributes, or in lists, tuples and
    dictionaries that are attributes. An attribute whose name begins with an underscore is private
    state and is not searched.
    """

    training: bool = True
    stateful: bool = False  # whether a call changes it, so that it may stand in one place only

    def forward(self, *args: Any, **keywords: Any) -> Any:
        """Compute the result; a subclass says how."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method; define one")

    def __setattr__(self, name: str, value: Any) -> None:
        old = vars(self).get(name)
        if (
            isinstance(old, Parameter)
            and isinstance(value, Tensor)
            and not isinstance(value, Parameter)
        ):
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter, and a plain Tensor in its place "
                f"would not be learned or saved; write {name}.data = ... for other values, "
                f"{name} -= ... under no_grad() for an update, or nn.Parameter(...) for a new one"
            )
        super().__setattr__(name, value)
        latest_setting[0] = object()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        latest_setting[0] = object()

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """`forward`, with the graph's nodes marked as made by this module."""
        mode = state.mode
        outer = mode.scope
        mode.scope = Scope(outer, self)
        try:
            if mode.observer is not None:
                mode.observer.called(self)
            return self.forward(*args, **keywords)
        except Exception as error:
            explain_call(error, mode.scope, (*args, *keywords.values()))
            if mode.observer is not None:
                mode.observer.failed(error, mode.scope, (*args, *keywords.values()))
            raise
        finally:
            mode.scope = outer

    def predict(self, x: Any, batch_size: int = 1000, *, stream: bool = False) -> Any:
        """The results for many examples, batch by batch, with no more than a batch in memory.

        In evaluation mode, each module being put back into its own, and without recording.

            probabilities = functional.softmax(model.predict(images))
            for logits in model.predict(np.load("images.npy", mmap_mode="r"), stream=True): ...

        Args:
            x: examples, an array or Tensor (N, ...), also a np.memmap larger than memory; or
                batches of them, such as a generator or a Loader (which shuffles unless told not
                to); of batches that are pairs (x, y) the first is taken.
            batch_size: examples at a time, if x is an array. Each example has its own results, but
                the last bits of matrix products may differ with the number of rows.
            stream: give an iterator over the results of one batch after the other, for results
                that do not fit in memory.

        Returns:
            arrays as `forward` gives them for all examples: one (N, ...), or several in tuples,
            lists or dictionaries; of its dtype.

        Raises:
            ValueError: no batches, another batch_size, or results that are not a row for each
                example, equal in shape and dtype for all batches.
            TypeError: x or a batch of it is no array.
        """
        return (inference.stream if stream else inference.predict)(self, x, batch_size)

    # ---- what it contains ------------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (named `prefix`) and all modules in it, each once, as (path, module)."""
        for path, found in _walk(self, prefix, set()):
            if isinstance(found, Module):
                yield path, found

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters as (path, parameter), in the order of definition, tied ones once."""
        for path, found in _walk(self, "", set()):
            if isinstance(found, Parameter):
                yield path, found

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """All buffers as (path, buffer), in the order of definition."""
        for path, found in _walk(self, "", set()):
            if isinstance(found, Buffer):
                yield path, found

    def modules(self) -> list[Module]:
        """This module and all modules in it, each once."""
        return [module for _, module in self.named_modules()]

    def freeze(self, frozen: bool = True) -> Module:
        """Stop (or, with False, resume) learning all parameters in this module; returns it."""
        for parameter in self.parameters():
            parameter.requires_grad_(not frozen)
        return self

    def parameters(self) -> list[Parameter]:
        """All parameters in the order of definition, tied ones once."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all in it to training (or, with False, to evaluation).

        A module in it that overrides this method has the last word on what it holds, such as a
        frozen batch normalisation that stays in evaluation.
        """
        modules = self.modules()
        for module in modules:
            module.training = mode
        for module in reversed(modules[1:]):  # what a module holds comes after it
            if type(module).train is not Module.train:
                module.train(mode)
        return self

    def eval(self) -> Module:
        """Switch this module and all in it to evaluation."""
        return self.train(False)

    # ---- saving ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of every parameter's and buffer's values, by path.

        Raises:
            ValueError: two of them have one path, by the keys of dictionaries.
        """
        return {path: np.array(t.data, order="C") for path, t in self._state().items()}

    def _state(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for path, tensor in (*self.named_parameters(), *self.named_buffers()):
            if path in found:
                raise ValueError(
                    f"two parameters or buffers of this {type(self).__name__} have the path "
                    f"{path!r}, and only one could be saved; rename a key of a dictionary (keys "
                    "with dots, or 1 beside '1')"
                )
            found[path] = tensor
        return found

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Copy values into the parameters and buffers.

        Raises:
            ValueError: names are missing or unknown, or a shape or the kind of numbers differs;
                nothing is changed then.
        """
        own = self._state()
        problems = [f"missing {name!r}" for name in own if name not in values]
        problems += [f"unknown {name!r}" for name in values if name not in own]
        problems += [
            f"{name!r} has shape {np.shape(values[name])}, the model {own[name].shape}"
            for name in own
            if name in values and np.shape(values[name]) != own[name].shape
        ]
        arrays = {
            name: value.data if isinstance(value, Tensor) else np.asarray(value)
            for name, value in values.items()
        }
        problems += [
            f"{name!r} is {arrays[name].dtype}, the model {own[name].dtype}"
            for name in own
            if name in values and not np.can_cast(arrays[name].dtype, own[name].dtype, "same_kind")
        ]
        if problems:
            raise ValueError(
                f"the values do not fit this {type(self).__name__}: " + "; ".join(problems)
            )
        for name, tensor in own.items():
            tensor.data = arrays[name]

    # ---- printing --------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What a layer says of itself between the parentheses; a subclass may add to it."""
        return ""

    @reprlib.recursive_repr()  # a module may hold one that holds it
    def __repr__(self) -> str:
        children = [
            f"  ({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in _children(self)
            if isinstance(child, Module)
        ]
        children += [
            f"  ({name}): {getattr(value, '__name__', value)}"
            for name, value in vars(self).items()
            if name.isdigit() and not isinstance(value, Module)
        ]
        children.sort(key=lambda line: int(line[3:].split(")")[0]) if line[3].isdigit() else 0)
        inside = self.extra_repr()
        if not children:
            return f"{type(self).__name__}({inside})"
        return f"{type(self).__name__}({inside}\n" + "\n".join(children) + "\n)"

    def summary(self) -> str:
        """A table of the modules with their parameters' shapes and counts."""
        own = {id(p): name for name, p in self.named_parameters()}
        rows = [("module", "kind", "parameters", "count")]
        for path, module in self.named_modules():
            mine = [
                (name, p)
                for name, p in _children(module)
                if isinstance(p, Parameter) and own.pop(id(p), None) is not None
            ]
            shapes = ", ".join(f"{name} {'x'.join(map(str, p.shape))}" for name, p in mine)
            count = sum(p.size for _, p in mine)
            rows.append((path or ".", type(module).__name__, shapes, f"{count:,}" if mine else "-"))
        parameters = self.parameters()
        total = sum(p.size for p in parameters)
        frozen = total - sum(p.size for p in parameters if p.requires_grad)
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}"
            for a, b, c, d in rows
        ]
        lines.insert(1, "-" * len(lines[0]))
        lines.append(lines[1])
        lines.append(
            f"{total:,} parameters, {sum(p.nbytes for p in parameters) / 2**20:.2f} MiB"
            + (f", {frozen:,} of them frozen" if frozen else "")
        )
        return "\n".join(lines)


def _children(found: Any) -> Iterator[tuple[str, Any]]:
    """What a module or container holds, as (name, value)."""
    if isinstance(found, Module):
        items = [(k, v) for k, v in vars(found).items() if not k.startswith("_")]
    elif isinstance(found, dict):
        items = list(found.items())
    elif isinstance(found, (list, tuple)):
        items = [(str(i), v) for i, v in enumerate(found)]
    else:
        return
    for name, value in items:
        if isinstance(value, (Module, Parameter, Buffer)):
            yield str(name), value
        elif isinstance(value, Tensor) and value.requires_grad and value.is_leaf:
            raise TypeError(
                f"{type(found).__name__}.{name} is a Tensor that requires a gradient; write "
                "nn.Parameter(...) for it to be learned and saved, or begin its name with _"
            )
        elif isinstance(value, (dict, list, tuple)):
            yield from ((f"{name}.{inner}", v) for inner, v in _children(value))


def _walk(found: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """`found` and everything in it, depth first, each object once."""
    if id(found) in seen:
        return
    seen.add(id(found))
    yield path, found
    for name, child in _children(found):
        yield from _walk(child, f"{path}.{name}" if path else name, seen)


def functional_call(
    module: Module, parameters: Mapping[str, Any], *args: Any, **keywords: Any
) -> Any:
    """Call a module with other values for its parameters, so that transforms work on models.

        loss = lambda p: functional.cross_entropy(nn.functional_call(model, p, x), labels)
        gradients = tg.grad(loss)(model.state_dict())

    Args:
        module: the model; it is unchanged afterwards.
        parameters: arrays or Tensors by path, as in `state_dict()`; others keep their own values.

    Raises:
        ValueError: a name that is no parameter, or another shape.
    """
    own = module._state()
    for name, value in parameters.items():
        if name not in own:
            raise ValueError(f"{name!r} is no parameter; they are {', '.join(own)}")
        if np.shape(value) != own[name].shape:
            raise ValueError(f"{name!r} has shape {own[name].shape}, not {np.shape(value)}")
    # the values first: among them may be parameters of this very module
    new = {name: _content(own[name], value) for name, value in parameters.items()}
    with _swapping, contextlib.ExitStack() as restore:  # one thread at a time sees the other values
        for name, content in new.items():
            restore.callback(_place, own[name], (own[name]._array, own[name]._node))
            _place(own[name], content)
        return module(*args, **keywords)


_swapping = threading.RLock()


def _content(old: Tensor, value: Any) -> tuple[Any, Any]:
    """The array and the node of a value; for a buffer, which the call may change, a copy."""
    value = value if isinstance(value, Tensor) else Tensor(value)
    if isinstance(old, Buffer):
        return np.copy(value._array), None
    return value._array, value._node


def _place(parameter: Tensor, content: tuple[Any, Any]) -> None:
    """Let a parameter stand for another array and node; tied uses of it follow by themselves."""
    parameter._array, parameter._node = content
