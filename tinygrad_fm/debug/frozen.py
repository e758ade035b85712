"""The strict mode: arrays that the backward pass still needs cannot be written to."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any

import numpy as np

from tinygrad_fm.debug.arrays import plain
from tinygrad_fm.debug.watcher import Watcher
from tinygrad_fm.engine import Node, memory_of, quoted


class Strict(Watcher):
    """See `strict`."""

    def __init__(self) -> None:
        # by id of the array: a weak reference, and by how many nodes it is kept
        self._frozen: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._waiting: list[int] = []  # ids of those that no node keeps, still to be released
        # by id of the node: a weak reference, and the ids of the arrays that were frozen for it
        self._nodes: dict[int, tuple[weakref.ref[Node], list[int]]] = {}

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._explain(*error)
        for key in list(self._nodes):
            self._release(key)

    def computed(
        self, primitive: Any, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        """Freeze what the new node keeps for its derivative rules."""
        super().computed(primitive, values, keywords, result, node)
        if node is None or not node.requires_grad or id(node) in self._nodes:
            return
        kept = [*node.args, *(node.y if isinstance(node.y, tuple) else (node.y,))]
        frozen = [key for array in kept for key in self._freeze(array)]
        if frozen:
            key = id(node)
            self._nodes[key] = weakref.ref(node, lambda _: self._release(key)), frozen

    def ended(self) -> None:
        """Release the arrays of nodes that the backward pass has freed."""
        super().ended()
        for key, (reference, _) in list(self._nodes.items()):
            node = reference()
            if node is None or node.args is None:
                self._release(key)

    def _freeze(self, array: Any) -> list[int]:
        """Freeze an array and those whose memory it shows; their ids."""
        keys = []
        while isinstance(array, np.ndarray):
            known = self._frozen.get(id(array))
            if known is not None and known[0]() is array:
                self._frozen[id(array)] = known[0], known[1] + 1
                keys.append(id(array))
            elif array.flags.writeable:
                array.flags.writeable = False
                self._frozen[id(array)] = weakref.ref(array), 1
                keys.append(id(array))
            array = array.base
        return keys

    def _release(self, node_key: int) -> None:
        """Make writeable again what no other node keeps."""
        _, keys = self._nodes.pop(node_key, (None, []))
        for key in keys:
            reference, count = self._frozen[key]
            self._frozen[key] = reference, count - 1
            if count == 1:
                self._waiting.append(key)
        still = []
        for key in reversed(self._waiting):  # the owners of memory before their views
            if key not in self._frozen or self._frozen[key][1]:  # done, or kept anew
                continue
            array = self._frozen[key][0]()
            try:
                if array is not None:
                    array.flags.writeable = True
                del self._frozen[key]
            except ValueError:  # a view, whose owner another node keeps
                still.append(key)
        self._waiting = still[::-1]

    def _explain(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Note on NumPy's error for a write to a frozen array which operations keep it."""
        if not isinstance(error, ValueError) or "read-only" not in str(error):
            return
        found: list[str] = []
        while trace is not None:
            names = {**trace.tb_frame.f_locals}
            found += [
                f"    {name}, kept by {keeper}"
                for name, value in names.items()
                for keeper in self._keepers(plain(value))
            ]
            trace = trace.tb_next
        error.add_note(
            "tg.debug.strict() has frozen the arrays that a backward pass still needs; write to a "
            "copy, or after backward()" + (":" if found else "")
        )
        for line in dict.fromkeys(found):
            error.add_note(line)

    def _keepers(self, array: Any) -> list[str]:
        """The operations that keep the memory which an array shows."""
        memory = memory_of(array)
        if memory is None or array.flags.writeable:
            return []
        found = []
        for reference, keys in self._nodes.values():
            node = reference()
            arrays = [self._frozen[key][0]() for key in keys]
            shared = any(a is not None and np.may_share_memory(a, array) for a in arrays)
            if node is not None and shared:
                found.append(node.name + (f" at {quoted(node.line)}" if node.line else ""))
        return found


def strict() -> Strict:
    """Make every write to an array that a backward pass still needs an error, at the write.

        with tg.debug.strict():
            loss = criterion(model(x), y)
            x[0] = 0          # ValueError: assignment destination is read-only
            loss.backward()   # from here on x can be written to again

    Changes through the library are noticed without it, when `backward()` is called. This mode
    catches those that it cannot see: writes by NumPy to an array of your own. Whatever a recorded
    operation keeps is frozen (`writeable = False`) until its node is freed by a backward pass or
    dies, or the block ends. NumPy raises `ValueError` at the write; a note on it names the
    operations that keep the array. A view that was made before the array was frozen stays
    writeable, for NumPy asks each view for itself; and so do arrays of other libraries.
    """
    return Strict()
