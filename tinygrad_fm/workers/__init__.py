"""Compiled loops in several threads, of which none waits for the interpreter."""

from tinygrad_fm.workers.crew import Call, share, share_products

__all__ = ["Call", "share", "share_products"]
