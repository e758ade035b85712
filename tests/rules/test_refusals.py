"""What a rule does not know is refused when the function is called, with the way out."""

import numpy as np
import pytest

from tinygrad_fm import Tensor

REFUSED = {
    "reshape by memory": (lambda x: np.reshape(x, -1, order="A"), "order='A'.*write order='C'"),
    "ravel by memory": (lambda x: np.ravel(x, order="K"), "order='K'"),
    "sum where": (lambda x: np.sum(x, where=np.ones(3, bool)), "does not know where="),
    "max initial": (lambda x: np.max(x, initial=0.0), "does not know initial="),
    "pad mean": (lambda x: np.pad(x, 1, mode="mean"), "mode='mean'"),
    "stack of shapes": (lambda x: np.stack([x, x[0]]), r"one shape, not of \[\(2, 3\), \(3,\)\]"),
    "tensordot lengths": (lambda x: np.tensordot(x, x, axes=1), r"axes \(-1,\) of \(2, 3\)"),
    "einsum terms": (lambda x: np.einsum("ij,jk", x), "names 2 operands, not 1"),
    "einsum letters": (lambda x: np.einsum("ijk->i", x), "'ijk' does not fit 2 dimensions"),
}


@pytest.mark.parametrize(("call", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_unknown_is_refused_at_the_call(call, says):
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises((TypeError, ValueError), match=says):
        call(x)
