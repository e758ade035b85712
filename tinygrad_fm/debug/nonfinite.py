"""Where a NaN or an infinity came from: the first operation that made it from finite numbers."""

from __future__ import annotations

import linecache
import sys
from types import FrameType
from typing import Any, Self

import numpy as np

from tinygrad_fm.debug import reasons
from tinygrad_fm.debug.arrays import (
    all_finite,
    describe,
    describe_nonfinite,
    flat,
    has_nan,
    largest,
    plain,
)
from tinygrad_fm.debug.origin import NonFiniteError, Origin
from tinygrad_fm.debug.watcher import Watcher
from tinygrad_fm.engine import Node, source_line, state
from tinygrad_fm.engine.node import PACKAGE

# Operations after which some elements count no more: what arrives there backward is 0.
_MASKS = frozenset(
    {"where", "clip", "maximum", "minimum", "max", "min", "relu", "max_pool", "getitem", "multiply"}
)


class NonFiniteTrace(Watcher):
    """Watches the operations on Tensors in this thread, and remembers where values turned bad.

        with tg.debug.trace_nonfinite() as trace:
            loss = criterion(model(x), y)
            loss.backward()
        print(trace)

    The forward pass is watched, and the backward pass with its rules. NumPy's warnings of invalid
    values, overflow and division by 0 are silent meanwhile. What turned bad is kept alive until the
    trace is dropped.

    Attributes:
        first: the origin of the first non-finite value at all, even if it was masked out again.
    """

    def __init__(self) -> None:
        self.first: Origin | None = None  # of any non-finite value, whether it matters or not
        self._count = 0
        self._origins: list[Origin] = []
        # by id of the array; the array itself is kept, so that no other can take its id
        self._made: dict[int, tuple[Any, Origin]] = {}
        self._used: set[int] = set()  # ids of bad arrays that a watched operation took in
        self._turned: dict[Origin, str] = {}  # how an infinity became NaN later on
        self._results: dict[Node, Origin] = {}  # of nodes with a bad result
        self._gradients: dict[Node, Origin] = {}  # of nodes with a bad gradient
        self._carried: set[Node] = set()  # of those, which handed it on
        self._coming: dict[Node, Origin] = {}  # a bad gradient is on its way to the node
        self._users: dict[Node, list[Node]] = {}  # in this backward pass
        self._root: Node | None = None
        self._outermost: FrameType | None = None
        self._quiet: Any = None

    def __enter__(self) -> Self:
        self._outermost = sys._getframe(1)
        # what the user set to raise still raises
        set_by_user: dict[str, Any] = {**np.geterr()}
        kinds = [k for k in ("divide", "over", "invalid") if set_by_user[k] == "warn"]
        self._quiet = np.errstate(**{**set_by_user, **dict.fromkeys(kinds, "ignore")})
        self._quiet.__enter__()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._quiet.__exit__(*error)
        self._outermost = None

    # ---- what was found --------------------------------------------------------------------------

    @property
    def origin(self) -> Origin | None:
        """Where the first NaN or infinity came from that was not masked out again, if any."""
        live = {id(o) for key, (_, o) in self._made.items() if key not in self._used}
        live |= {id(o) for node, o in self._gradients.items() if node not in self._carried}
        return next((o for o in self._origins if id(o) in live), None)

    def origin_of(self, result: Any) -> Origin | None:
        """The origin of the non-finite values in `result`; None where it has none or is unknown."""
        known = self._made.get(id(plain(result)))
        return None if known is None else known[1]

    def check(self) -> None:
        """Raise what was found, if anything was.

        Raises:
            NonFiniteError: with the text that `print(trace)` shows.
        """
        origin = self.origin
        if origin is not None:
            raise NonFiniteError(str(self), operation=origin.operation)

    def graph(self, result: Any = None) -> Any:
        """The graph, in which the way of the NaN or infinity from its origin on is marked.

        Args:
            result: the Tensor whose graph is drawn; by default what `backward()` was called on, or
                the last bad result.

        Returns:
            a `Graph`, to save or to show in a notebook.

        Raises:
            ValueError: nothing that is recorded turned bad.
        """
        from tinygrad_fm.debug.poisoned import poisoned_graph

        root = result.node if result is not None else None
        if root is None and result is None:
            root = self._root or next(reversed(self._results), None)
        return poisoned_graph(root, self.origin, self._results, self._gradients)

    def __str__(self) -> str:
        origin = self.origin
        masked = [o for o in self._origins if o is not origin and not o.backward]
        if origin is None:
            text = f"no NaN or infinity in the results of {self._count:,} operations"
            if self.first is not None:
                text += f"; one that was masked out again was {self.first}"
            return text
        lines = [str(origin)]
        if origin in self._turned:
            lines.append(f"later: {self._turned[origin]}")
        if origin.backward and masked:
            before = masked[0]
            lines.append(
                f"before: {before.operation} made {before.found} in the forward pass"
                + (f", at {before.line}" if before.line else "")
                + (f": {before.why}" if before.why else "")
            )
        return "\n".join(lines)

    # ---- forward ---------------------------------------------------------------------------------

    def computed(
        self, primitive: Any, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        """Look at one result."""
        super().computed(primitive, values, keywords, result, node)
        if self.in_backward:  # recorded rules; `passed` sees what comes of them
            return
        self._count += 1
        arguments = list(flat(values))
        worse = [i for i, value in enumerate(arguments) if not all_finite(value)]
        self._used.update({id(arguments[i]) for i in worse} & self._made.keys())
        bad = [part for part in flat((result,)) if not all_finite(part)]
        if not bad:
            return
        turned = bool(worse) and has_nan(bad[0]) and not any(has_nan(a) for a in arguments)
        origin = None
        if worse:
            known = self._made.get(id(arguments[worse[0]]))
            origin = known[1] if known else None
        if origin is None or (turned and origin.argument is not None):
            why, write = self._reason(reasons.of_operation, primitive, values, bad[0])
            from_outside = worse[0] if worse and not turned else None
            line, source = self._user_line()
            origin = Origin(
                operation=primitive.name,
                number=self._count,
                argument=from_outside,
                arguments=tuple(describe(value) for value in arguments),
                found=describe_nonfinite(bad[0] if from_outside is None else arguments[worse[0]]),
                largest=max((largest(value) for value in arguments), default=0.0),
                module="" if state.mode.scope is None else state.mode.scope.path(),
                line=line,
                source=source,
                why="" if from_outside is not None else why,
                write="" if from_outside is not None else write,
            )
            self._origins.append(origin)
            self.first = self.first or origin
        elif turned and origin not in self._turned:
            why, _ = self._reason(reasons.of_operation, primitive, values, bad[0])
            line, _ = self._user_line()
            self._turned[origin] = f"{primitive.name} at {line} made NaN of it" + (
                f": {why}" if why else ""
            )
        for part in bad:
            self._made[id(part)] = part, origin
        if node is not None:
            self._results[node] = origin

    def _reason(self, of: Any, *known: Any) -> reasons.Reason:
        """A reason, or none where looking for one fails: a search must not stop what it watches."""
        try:
            return of(*known)
        except Exception:
            return reasons.UNKNOWN

    def _user_line(self) -> tuple[str, str]:
        """The innermost line outside this library, no further out than where the trace began."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            filename = frame.f_code.co_filename
            if not filename.startswith(PACKAGE):
                source = linecache.getline(filename, frame.f_lineno).strip()
                return f"{filename}:{frame.f_lineno}", source
            frame = None if frame is self._outermost else frame.f_back
        return "", ""

    # ---- backward --------------------------------------------------------------------------------

    def arrived(self, node: Node, g: Any) -> None:
        """Look at a gradient before it is handed on."""
        if not self.in_backward:
            self._root = node
        super().arrived(node, g)
        origin = self._coming.pop(node, None)
        bad = [part for part in flat((g,)) if not all_finite(part)]
        if not bad:
            return
        if origin is None:
            why = ""
            if node in self._users:
                why = "overflow: of the sum of the gradients from several uses"
            if node.hooks:
                why = "a hook made it (register_hook)"
            origin = self._of_node(node, -1, (), "", bad[0], (why, ""))
        self._gradients.setdefault(node, origin)  # a leaf has one in each pass
        if node.name == "pick":
            self._carried.add(node)
            self._coming[node.inputs[0]] = origin

    def passed(
        self, node: Node, i: int, g: Any, y: Any, args: tuple[Any, ...], contribution: Any
    ) -> None:
        """Look at what the rule for one argument made of it."""
        super().passed(node, i, g, y, args, contribution)
        parent = node.inputs[i]
        self._users.setdefault(parent, []).append(node)
        if node in self._gradients:
            self._carried.add(node)
        if all_finite(plain(contribution)):
            return
        origin = self._gradients.get(node)
        if origin is None:
            mask = self._mask_behind(node)
            reason = self._reason(reasons.of_rule, node, i, g, y, args, contribution, mask)
            gradient = "; ".join(describe(part) for part in flat((g,)))
            origin = self._of_node(node, i, args, gradient, plain(contribution), reason)
        elif origin not in self._turned and has_nan(plain(contribution)) and not has_nan(plain(g)):
            self._turned[origin] = f"the rule of {node.name} at {node.line} made NaN of it"
        self._coming.setdefault(parent, origin)

    def ended(self) -> None:
        """Forget what belongs to one backward pass only."""
        super().ended()
        self._coming.clear()
        self._users.clear()

    def _of_node(
        self, node: Node, i: int, args: Any, gradient: str, bad: Any, reason: reasons.Reason
    ) -> Origin:
        arrays = [a if isinstance(a, Node) else plain(a) for a in args]
        origin = Origin(
            operation=node.name,
            number=self._count,
            argument=i,
            arguments=tuple(describe(a) for a in arrays),
            found=describe_nonfinite(bad),
            largest=max((largest(a) for a in arrays), default=0.0),
            module="" if node.scope is None else node.scope.path(),
            line=node.line,
            source=source_line(node.line),
            why=reason[0],
            write=reason[1],
            backward=True,
            gradient=gradient,
        )
        self._origins.append(origin)
        self.first = self.first or origin
        return origin

    def _mask_behind(self, node: Node) -> Node | None:
        """The nearest operation that used the node's result and may have left elements out."""
        queue = list(self._users.get(node, ()))
        for user in queue[:1000]:
            if user.name in _MASKS:
                return user
            queue += self._users.get(user, ())
        return None


def trace_nonfinite() -> NonFiniteTrace:
    """Find the first operation, forward or backward, that makes a NaN or an infinity.

        with tg.debug.trace_nonfinite() as trace:
            loss = criterion(model(x), y)
            loss.backward()
        print(trace)                        # operation, module, line, ranges, reason
        trace.graph().save("poisoned.svg")  # its way from the origin to the result
        trace.check()                       # or raise it

    Without it nothing is looked at, and nothing costs anything.
    """
    return NonFiniteTrace()
