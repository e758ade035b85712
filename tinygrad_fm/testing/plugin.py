"""What Hypothesis loads when it starts: `st.from_type(Tensor)`, and functions that take Tensors."""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Tell Hypothesis how to make Tensors, once one is asked for."""
    from hypothesis import strategies as st

    from tinygrad_fm.tensor import Tensor

    def tensors(_: Any) -> Any:
        from tinygrad_fm.testing.strategies import tensors

        return tensors()

    st.register_type_strategy(Tensor, tensors)
