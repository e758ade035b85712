"""Loops over elements, compiled by Numba where it is installed (the extra `fast`).

Such a loop, of an optimizer's update or of a chain of calls in a program, reads and writes each
element once, where NumPy passes over the memory at every operation; its results are NumPy's to the
last bit. The environment variable TINYGRAD_FM_FAST is "0" to do without, "1" to compile at the
first use; unset, NumPy works until the loops pay (see WORTH). The loops of large convolutions
(rules.loops) round otherwise than NumPy's ways, and are used from the first on unless it is "0".
Where Numba is loaded, be it for these, those of pooling and of copies into another order are used
too, and those of products with many zeros (rules.zeros).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

VARIABLE = "TINYGRAD_FM_FAST"

# To import Numba and to start its compiler takes 0.6 s; a loop saves between 0.3 ns (SGD with
# momentum) and 1 ns (Adam) an element. So it pays after about so many elements: 10 epochs of 60,000
# images in batches of 128 with 200,000 parameters, or a quarter of the first epoch one by one.
WORTH = 1_000_000_000

# The same for a kernel of a program: 0.4 s to compile it, 20 ms to load it from the disk.
COMPILING, LOADING = 600_000_000, 30_000_000

DTYPES = ("float32", "float64")

_left: float | None = None  # elements until Numba is imported; infinite without it


def ready(elements: int) -> bool:
    """Whether compiled loops are there for the next so many elements, which are counted."""
    global _left
    if _left is None:
        _left = _until_it_pays()
    if _left > 0:
        _left = max(0, _left - elements)
        return False
    if failure() is not None:
        _left = float("inf")
    return _left == 0


def never() -> bool:
    """Whether `ready` has found that there will be no compiled loops."""
    return _left == float("inf")


def why_not() -> str | None:
    """Why loops are not compiled, in words; None where they are. Imports Numba."""
    if os.environ.get(VARIABLE) == "0":
        return f"{VARIABLE} is 0"
    if not _is_installed():
        return "Numba is not installed"
    return failure()


def setting() -> str:
    """ "0", "1", or empty if the variable is not set.

    Raises:
        ValueError: it is something else.
    """
    found = os.environ.get(VARIABLE, "")
    if found not in ("", "0", "1"):
        raise ValueError(
            f"{VARIABLE} is 0 (NumPy alone), 1 (compile at once) or not set, not {found!r}"
        )
    return found


def is_loaded() -> bool:
    """Whether Numba has been imported; None in its place hides it."""
    return sys.modules.get("numba") is not None


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("numba") is not None
    except ImportError:  # of a finder that refuses it
        return False


@functools.cache
def failure() -> str | None:
    """Import Numba, which takes 0.3 to 0.6 s; why that fails (it may be too old for NumPy)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("numba")
    except Exception as error:
        return f"Numba cannot be imported: {error}"
    return None


@functools.cache
def compiled(loop: Callable[..., None], dtype: str, arrays: int, numbers: int) -> Any:
    """The loop for so many contiguous arrays of a dtype (see DTYPES), and then its numbers.

    It lets other threads run. What was compiled is kept on disk, beside the loop's file or, where
    that folder is read-only, in the user's cache; where nothing can be written, in memory alone.
    """
    import numba

    element = getattr(numba, dtype)
    return _compiled(loop, (element[::1],) * arrays + (element,) * numbers)


# dtype, number of axes, layout (C, F or A) and whether it is only read; or of each one of a tuple;
# or a type of Numba's
Argument = Any
Arguments = tuple[Argument, ...]


def kernel(text: str, arguments: Arguments) -> Any:
    """The function `kernel` of a text of Python that uses NumPy, compiled; see `functions`."""
    key = text, arguments
    if key not in _kernels:
        (_kernels[key],) = functions(text, {"kernel": arguments})
    return _kernels[key]


def functions(
    text: str,
    wanted: dict[str, Arguments],
    given: dict[str, Any] | None = None,
    keep: bool = True,
) -> list[Any]:
    """Functions of a text of Python that uses NumPy, compiled for these arguments.

    They may call others of the text. They are kept on disk in the user's cache, in a file that is
    named by its contents.

    Args:
        given: what else they may use, by names; which is to be told by the text, as what is kept
            has it in it.
        keep: whether they are kept at all.
    """
    types: Any = importlib.import_module("numba").types
    names, kept = _names(text, given, keep)
    written = {n: f for n, f in names.items() if isinstance(f, FunctionType)}
    for name, function in written.items():
        inline = hasattr(function, "inlined")
        if name not in wanted and (inline or function.__module__ == __name__):
            names[name] = _jit(function, forceinline=inline)
    made = []
    for name, arguments in wanted.items():
        signature = tuple(_type_of(types, argument) for argument in arguments)
        made.append(_compiled(written[name], signature, kept))
    return made


def entry(text: str, name: str, given: dict[str, Any], keep: bool) -> int:
    """The address of such a function, of an address to a whole number, for other compiled code.

    It stays for as long as the process.
    """
    numba: Any = importlib.import_module("numba")
    names, kept = _names(text, given, keep)
    try:
        made = numba.cfunc("int64(int64)", cache=kept)(names[name])
    except Exception:  # as for `_compiled`
        made = numba.cfunc("int64(int64)")(names[name])
    _entries.append(made)
    return int(made.address)


_entries: list[Any] = []


def _names(text: str, given: dict[str, Any] | None, keep: bool) -> tuple[dict[str, Any], bool]:
    """What a text defines, and whether it is on disk."""
    path = _place(text)
    kept = keep and _written(path, text)
    # Numba looks for the module when it loads
    names: dict[str, Any] = {"__name__": __name__, **(given or {})}
    exec(compile(text, str(path), "exec"), names)
    return names, kept


def _type_of(types: Any, argument: Argument) -> Any:
    if not isinstance(argument, tuple):  # Numba's own
        return argument
    if isinstance(argument[0], tuple):
        return types.Tuple([_type_of(types, one) for one in argument])
    dtype, axes, layout, readonly = argument
    element = getattr(types, _NUMBA.get(str(dtype), str(dtype)))
    return types.Array(element, axes, layout, readonly) if axes else element


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of such a text, or imported by it, that is to be part of each that calls it."""
    function.__dict__["inlined"] = True
    return function


_kernels: dict[Any, Any] = {}


def cost(text: str) -> int:
    """What it costs to have a kernel of this text compiled, in the elements of WORTH."""
    if os.environ.get(VARIABLE) == "1":
        return 0
    return LOADING if is_kept(text) else COMPILING


def is_kept(text: str) -> bool:
    """Whether functions of a text were compiled before, and are on disk."""
    path = _place(text)
    return any((path.parent / "__pycache__").glob(f"{path.stem}.*.nbi"))


_NUMBA = {"bool": "boolean"}


def _place(text: str) -> Path:
    """The file of a kernel in the user's cache."""
    folders: Any = importlib.import_module("numba.misc.appdirs")
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    return Path(folders.user_cache_dir("tinygrad_fm")) / "kernels" / f"kernel_{name}.py"


def _written(path: Path, text: str) -> bool:
    """Write the text into the file, if it is not there; whether that went well."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(f".{os.getpid()}")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
    except OSError:
        return False
    return True


def _compiled(loop: Callable[..., None], signature: tuple[Any, ...], keep: bool = True) -> Any:
    """The function for arguments of these types alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = _jit(loop, cache=keep)
            made.compile(signature)
        except Exception:  # no folder, a full disk, a damaged file
            made = _jit(loop)
            made.compile(signature)
    made.disable_compile()  # for arrays of another kind it is an error
    return made


def _jit(function: Callable[..., None], **options: Any) -> Any:
    import numba

    # 1 / 0 is infinite, as in NumPy
    return numba.njit(nogil=True, error_model="numpy", **options)(function)


def _until_it_pays() -> float:
    found = setting()
    if found == "0" or not _is_installed():
        return float("inf")
    return 0 if found == "1" or is_loaded() else WORTH
