"""The engine: nodes, the registry of derivative rules, recording, and the backward pass.

Nothing here knows of `Tensor`. A rule is a pure NumPy expression `(g, y, *args, **keywords)` that
returns the gradient for one argument, given the gradient `g` of the result `y`. An argument that a
rule spells with a leading underscore is not kept in memory: the rule receives the `Node` that
stands for it, which has a `shape`, a `dtype`, an `ndim` and a `size`, but no value.
"""

from tinygrad_fm.engine.changes import Marker, latest_setting, memory_of, written_since
from tinygrad_fm.engine.changes import mark as mark_changed
from tinygrad_fm.engine.node import (
    PACKAGE,
    BackwardObserver,
    Constant,
    GraphError,
    Node,
    Origin,
    Recomputed,
    find_origin,
    layout_of,
    leaf,
    line_of,
    now,
    quoted,
    source_line,
    state,
)
from tinygrad_fm.engine.recorder import record, record_one, record_pick, record_two
from tinygrad_fm.engine.registry import (
    InPlace,
    Primitive,
    UnknownKeywordError,
    assign,
    constant,
    declared,
    defvjp,
    pick,
    primitive,
    registry,
    rewrite,
    rewrites,
)
from tinygrad_fm.engine.reverse import backward, sum_to, topological

__all__ = [
    "PACKAGE",
    "BackwardObserver",
    "Constant",
    "GraphError",
    "InPlace",
    "Marker",
    "Node",
    "Origin",
    "Primitive",
    "Recomputed",
    "UnknownKeywordError",
    "assign",
    "backward",
    "constant",
    "declared",
    "defvjp",
    "find_origin",
    "latest_setting",
    "layout_of",
    "leaf",
    "line_of",
    "mark_changed",
    "memory_of",
    "now",
    "pick",
    "primitive",
    "quoted",
    "record",
    "record_one",
    "record_pick",
    "record_two",
    "registry",
    "rewrite",
    "rewrites",
    "source_line",
    "state",
    "sum_to",
    "topological",
    "written_since",
]
