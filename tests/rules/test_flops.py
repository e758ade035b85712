"""Every operation with a rule has a count of floating-point operations, for drawings."""

import cases_matrices  # noqa: F401  (fills the table)
import cases_movement  # noqa: F401  (likewise)
import cases_networks  # noqa: F401  (likewise)
import cases_sequences  # noqa: F401  (likewise)
import cases_special  # noqa: F401  (likewise)
import numpy as np
import pytest
from cases import CASES

from tinygrad_fm import Tensor
from tinygrad_fm.graph.build import ancestors
from tinygrad_fm.graph.facts import flops

ROWS = [row for rows in CASES.values() for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_every_operation_has_a_count(row):
    arrays = [
        Tensor(a, requires_grad=True) if i in row.floats else a for i, a in enumerate(row.args)
    ]
    result = row(*arrays)
    parts = result if isinstance(result, (list, tuple)) else [result]
    nodes = ancestors([part.node for part in parts if getattr(part, "node", None) is not None])
    for node in nodes:
        count = flops(node)
        assert isinstance(count, int), node
        assert 0 <= count <= 1000 * max(np.size(a) for a in row.args if hasattr(a, "shape")), node
