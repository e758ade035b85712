"""Programs that have their chains in loops from the first, which Python runs, Numba or not."""

import contextlib
from types import SimpleNamespace
from unittest import mock

from tinygrad_fm import fast


def as_it_is(text, arguments):
    names = {}
    exec(text, names)
    return names["kernel"]


@contextlib.contextmanager
def loops_in_python():
    always = SimpleNamespace(ready=lambda elements: True, DTYPES=fast.DTYPES)
    python = SimpleNamespace(
        cost=lambda text: 0, kernel=as_it_is, compiled=lambda loop, *signature: loop
    )
    with (
        mock.patch("tinygrad_fm.program.compiled.fast", always),
        mock.patch("tinygrad_fm.program.kernels.fast", python),
        mock.patch("tinygrad_fm.optim.factored.fast", python),
        mock.patch("tinygrad_fm.optim.loops.fast", python),
        mock.patch("tinygrad_fm.optim.optimizer.fast", always),
        mock.patch("tinygrad_fm.optim.repeated.fast", always),
    ):
        yield
