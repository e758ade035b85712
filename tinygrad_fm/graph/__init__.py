"""The graph to look at: a model of it, DOT text, and pictures."""

from tinygrad_fm.graph.model import DrawnNode, Graph, draw
from tinygrad_fm.graph.render import RenderError, find_renderer

__all__ = ["DrawnNode", "Graph", "RenderError", "draw", "find_renderer"]
