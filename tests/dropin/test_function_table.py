"""docs/functions.md is what the library says of each of NumPy's functions."""

import re
from pathlib import Path

import numpy

from tinygrad_fm import Tensor
from tinygrad_fm.numpy.table import KINDS, page, rows

PAGE = Path(__file__).parents[2] / "docs" / "functions.md"
ROW = re.compile(r"^\| `np\.(.*)` \| (\w+) \| (.*) \|$", re.MULTILINE)


def test_the_page_is_what_the_library_says():
    written, now = PAGE.read_text(encoding="utf-8"), page()
    if f"NumPy {numpy.__version__}:" in written:
        assert written == now, "run: python -m tinygrad_fm.numpy > docs/functions.md"
    old = {name: rest for name, *rest in ROW.findall(written)}
    new = {name: rest for name, *rest in ROW.findall(now)}
    assert len(old) > 400
    # another version of NumPy may have other functions
    assert {n: old[n] for n in old.keys() & new.keys()} == {
        n: new[n] for n in old.keys() & new.keys()
    }


def test_every_public_function_is_in_the_table_once():
    names = [row.name for row in rows()]
    assert len(names) == len(set(names))
    assert {row.kind for row in rows()} == KINDS.keys()
    for name in ("tanh", "concatenate", "zeros", "linalg.norm", "fft.fft", "random.normal", "put"):
        assert name in names


def outcome(function):
    """What a function of one argument does with a recorded Tensor, as the table calls it."""
    with numpy.errstate(all="ignore"):
        try:
            y = function(Tensor([0.3, 0.6], requires_grad=True))
        except TypeError as error:
            return (
                "not for floats" if "not supported for the input types" in str(error) else "refused"
            )
    parts = y if isinstance(y, (tuple, list)) else [y]
    assert all(part.node is not None for part in parts)
    return "differentiable" if any(part.requires_grad for part in parts) else "constant"


def test_functions_of_one_argument_do_what_the_table_says():
    table = {row.name: row.kind for row in rows()}
    found = {
        name: outcome(getattr(numpy, name))
        for name in table
        if isinstance(getattr(numpy, name, None), numpy.ufunc) and getattr(numpy, name).nin == 1
    }
    told = {name: kind for name, kind in found.items() if kind != "not for floats"}
    assert told == {name: table[name] for name in told}
    assert len(told) > 40
    assert set(told.values()) >= {"differentiable", "constant"}
