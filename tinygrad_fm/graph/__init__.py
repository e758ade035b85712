"""The graph to look at: a model of it, text, pictures, a page to explore, differences."""

from tinygrad_fm.graph.diff import graph_diff
from tinygrad_fm.graph.draw import draw
from tinygrad_fm.graph.model import Frame, Graph, GraphNode
from tinygrad_fm.graph.render import RenderError, find_renderer
from tinygrad_fm.graph.statistics import Statistics

__all__ = [
    "Frame",
    "Graph",
    "GraphNode",
    "RenderError",
    "Statistics",
    "draw",
    "find_renderer",
    "graph_diff",
]
