"""What all watchers of this room share: being installed with `with`, one inside the other."""

from __future__ import annotations

from typing import Any, Self

from tinygrad_fm.engine import Node, state


class Watcher:
    """Sees what this thread computes while it is installed, and tells whoever watched before.

    Attributes:
        in_backward: whether a backward pass is under way; with create_graph=True its rules compute
            with operations that are recorded and watched like any others.
    """

    in_backward: bool = False
    _before: Any = None

    def __enter__(self) -> Self:
        self._before = state.mode.observer
        state.mode.observer = self
        return self

    def __exit__(self, *error: object) -> None:
        state.mode.observer = self._before
        self._before = None

    def computed(
        self, primitive: Any, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        """After an operation."""
        if self._before is not None:
            self._before.computed(primitive, values, keywords, result, node)

    def called(self, module: Any) -> None:
        """Before a module is called."""
        if self._before is not None:
            self._before.called(module)

    def failed(self, error: BaseException, what: Any, values: Any) -> None:
        """When an operation or a module call raises."""
        if self._before is not None:
            self._before.failed(error, what, values)

    def arrived(self, node: Node, g: Any) -> None:
        """When the gradient of a node's result is complete."""
        self.in_backward = True
        if hasattr(self._before, "arrived"):
            self._before.arrived(node, g)

    def passed(
        self, node: Node, i: int, g: Any, y: Any, args: tuple[Any, ...], contribution: Any
    ) -> None:
        """After the rule for argument `i` of a node."""
        if hasattr(self._before, "passed"):
            self._before.passed(node, i, g, y, args, contribution)

    def ended(self) -> None:
        """When a backward pass is over."""
        self.in_backward = False
        if hasattr(self._before, "ended"):
            self._before.ended()
