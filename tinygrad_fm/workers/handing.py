"""Calls of compiled functions as words that a worker reads, and the loops with which it does."""

from __future__ import annotations

import functools
import hashlib
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tinygrad_fm import fast
from tinygrad_fm.workers import instructions, mail

_WHOLE, _WORDS = ("int64", 0, "C", True), ("int64", 1, "C", False)

# of a function that returns whether it is to go on, or nothing
_CALL = """
def write(calls, at, address, {names}):
    end = at + 2 + write_all(calls, at + 2, ({names},))
    if end <= len(calls):
        calls[at], calls[at + 1] = address, end - at - 2
    return end


def enter(address):
    try:
        {call}
    except Exception:
        return FAILED
"""
_CALLS = {
    "none": "function(*read_all(address))\n        return MADE",
    "bool": "return MADE if function(*read_all(address)) else REFUSED",
}


@functools.cache
def loops() -> Any:
    """The functions of `mail` that are called, compiled."""
    wanted = {
        "serve": (_WORDS, _WORDS),
        "hand": (_WORDS, _WHOLE),
        "collect": (_WORDS,),
    }
    made = fast.functions(inspect.getsource(mail) + _version(), wanted)
    return SimpleNamespace(**dict(zip(wanted, made, strict=True)))


def is_compiled(function: Any) -> bool:
    """Whether Numba has compiled it."""
    return hasattr(function, "nopython_signatures")


@functools.cache
def handed(function: Any) -> tuple[Callable[..., int], int] | None:
    """See `_handed`; None where that cannot be, with a warning if it should."""
    if not is_compiled(function):
        return None
    try:
        return _handed(function)
    except Exception as error:  # of Numba
        warnings.warn(
            f"one thread calls {function.py_func.__name__}, as Numba cannot hand it over: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _handed(function: Any) -> tuple[Callable[..., int], int]:
    """write(calls, at, address, *arguments) of a function, and this address.

    It writes a call as `mail.make` reads it, from the word `at` on, and returns where the next one
    begins; one that would go beyond the last word is not written.

    Args:
        function: what `fast` compiled: it returns a bool or nothing.
    """
    (signature,) = function.nopython_signatures
    names = ", ".join(f"argument{i}" for i in range(len(signature.args)))
    text = _CALL.format(names=names, call=_CALLS[str(signature.return_type)])
    words = instructions.instructions()
    given = {
        "function": function,
        "write_all": words.write,
        "read_all": words.reader(signature.args),
        "MADE": mail.MADE,
        "REFUSED": mail.REFUSED,
        "FAILED": mail.FAILED,
    }
    text += _version(function, signature.args)
    keep = _may_be_kept(function)
    wanted = {"write": (_WORDS, _WHOLE, _WHOLE, *signature.args)}
    (write,) = fast.functions(text, wanted, given, keep)
    return write, fast.entry(text, "enter", given, keep)


def _version(function: Any = None, kinds: Any = ()) -> str:
    """A comment by which a text is told from others of which other code is a part."""
    told = [inspect.getsource(instructions), inspect.getsource(mail), str(kinds)]
    if function is not None:
        code, path = function.py_func.__code__, Path(function.py_func.__code__.co_filename)
        told += [str(path), function.py_func.__qualname__, str(code.co_firstlineno)]
        # as it was when it was imported, and what it calls
        told += [str(code.co_code), str(code.co_names), str([*map(str, code.co_consts)])]
        told += [str(path.read_bytes() if path.exists() else "")]
    return f"\n# {hashlib.sha256(''.join(told).encode()).hexdigest()}\n"


def _may_be_kept(function: Any) -> bool:
    """Whether a text tells it: not of one that was typed in, or that has a closure."""
    python = function.py_func
    return python.__closure__ is None and Path(python.__code__.co_filename).exists()
