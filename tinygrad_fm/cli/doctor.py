"""`tinygrad-fm doctor`: what is installed, what was found, and whether a gradient is right."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_fm
from tinygrad_fm import data, fast, threads
from tinygrad_fm.cli.data import where
from tinygrad_fm.cli.text import bold, table
from tinygrad_fm.data.known import KNOWN
from tinygrad_fm.graph import find_renderer

# distribution: (what it gives, the extra that installs it; "" for what is required)
PACKAGES = {
    "numpy": ("the arrays and all of the arithmetic", ""),
    "graphviz": ("drawings of graphs", ""),
    "hypothesis": ("property tests in tinygrad_fm.testing", ""),
    "safetensors": ("weights on disk", ""),
    "tqdm": ("the progress bar", ""),
    "matplotlib": ("learning curves and confusion matrices as pictures", "plot"),
    "graphviz-pure": ("pictures of graphs without a system Graphviz", "render"),
    "threadpoolctl": ("number of BLAS threads, read and set", "threads"),
    "numba": ("optimizers as one compiled pass over memory", "fast"),
    "pillow": ("PNG files as input", "images"),
}
# the variable that gives each matrix library one thread
ONE_THREAD = {"openblas": "OPENBLAS_NUM_THREADS=1", "mkl": "MKL_NUM_THREADS=1"}
TOLERANCE = 1e-12  # of the self-check, which is done in float64


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; the exit code is 1 where something that is needed is missing or wrong."""
    found = examine()
    print(json.dumps(found, indent=2) if arguments.json else _page(found))
    return 0 if found["ok"] else 1


def examine() -> dict[str, Any]:
    """All findings as plain values, ready for JSON."""
    packages = {
        name: {"version": _version(name), "gives": gives, "extra": extra or None}
        for name, (gives, extra) in PACKAGES.items()
    }
    error = gradient_error()
    renderer = find_renderer()
    complete = all(p["version"] or p["extra"] for p in packages.values())
    return {
        "ok": bool(complete and error <= TOLERANCE and sys.version_info >= (3, 11)),
        "tinygrad_fm": {
            "version": tinygrad_fm.__version__,
            "path": str(Path(tinygrad_fm.__file__).parent),
        },
        "python": {"version": platform.python_version(), "path": sys.executable},
        "platform": platform.platform(),
        "cpus": threads.cpus(),
        "blas": blas(),
        "packages": packages,
        "numpy_steps_because": fast.why_not(),
        "data": {name: _folder(name) for name in KNOWN},
        "renderer": None if renderer is None else {"name": renderer[0], "path": renderer[1]},
        "gradient_error": error,
    }


def gradient_error() -> float:
    """How far a gradient is from the complex-step derivative, relative to its largest element."""

    def f(x: Any) -> Any:
        return np.sum(np.tanh(x @ x.T) * np.exp(x[:, :3]) / (1 + x[:, 1:] ** 2))

    x = np.random.default_rng(0).standard_normal((3, 4)) / 2
    exact = np.empty_like(x)
    for index in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[index] += 1e-30j  # so small a step loses no digits: there is no difference to take
        exact[index] = f(moved).imag / 1e-30
    return float(np.abs(tinygrad_fm.grad(f)(x) - exact).max() / np.abs(exact).max())


def blas() -> dict[str, Any]:
    """Name, version and threads of the matrix library; threads are None where nothing tells."""
    name, version = threads.library()
    if threads.counts():
        asked = {"threads": threads.count(), "source": "threadpoolctl"}
        return {"name": name, "version": version, **asked}
    set_by = [f"${name}" for name in threads.VARIABLES if os.environ.get(name)]
    source = ", ".join(set_by) or "NumPy's build"
    return {"name": name, "version": version, "threads": None, "source": source}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _folder(name: str) -> str | None:
    folder = data.find(name)
    return None if folder is None else str(folder)


# --------------------------------------------------------------------------------------------------
# For people
# --------------------------------------------------------------------------------------------------


def _page(found: dict[str, Any]) -> str:
    right = found["gradient_error"] <= TOLERANCE
    sections = {
        "here": [
            ("tinygrad_fm", found["tinygrad_fm"]["version"], found["tinygrad_fm"]["path"]),
            ("Python", found["python"]["version"], found["python"]["path"]),
            _matrix_library(found["blas"], found["cpus"]),
            *_small_networks(found["blas"]),
            _optimizers(found["numpy_steps_because"]),
            ("system", "", found["platform"]),
        ],
        "packages": [_package(name, p) for name, p in found["packages"].items()],
        "data sets": [(name, where(known), "") for name, known in KNOWN.items()],
        "pictures of graphs": [_renderer(found["renderer"])],
        "self-check": [
            (
                "gradient",
                "right" if right else "WRONG",
                f"relative error {found['gradient_error']:.1e}, allowed {TOLERANCE:.0e}",
            )
        ],
    }
    blocks = [f"{bold(title)}\n{table(rows, '  ')}" for title, rows in sections.items()]
    verdict = "all is well" if found["ok"] else "something that is needed is missing or wrong"
    return "\n\n".join([*blocks, bold(verdict)])


def _matrix_library(library: dict[str, Any], cpus: int) -> tuple[str, str, str]:
    note = f"{library['threads'] or 'unknown number of'} threads on {cpus} CPUs"
    setting = os.environ.get("MKL_CBWR", "").upper()
    if library["name"] == "mkl" and "STRICT" not in setting and setting != "COMPATIBLE":
        note += "; the same bits from run to run only with MKL_CBWR=AUTO,STRICT"
    return "BLAS", f"{library['name']} {library['version']}", note


def _small_networks(library: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What several threads mean for them; no line where there is one, or where nothing is known."""
    setting = ONE_THREAD.get(library["name"])
    if setting is None or threads.count() == 1:
        return []
    if any(os.environ.get(name) for name in threads.VARIABLES):
        return [("small networks", "faster", f"with one thread: set {setting}")]
    if library["threads"] is None:
        note = f'with one thread: set {setting}, or pip install "tinygrad_fm[threads]"'
        return [("small networks", "faster", note)]
    note = f"in train.fit and the commands; in loops of your own set {setting}"
    return [("small networks", "one thread", note)]


def _package(name: str, package: dict[str, Any]) -> tuple[str, str, str]:
    if package["version"]:
        return name, package["version"], package["gives"]
    wanted = f"tinygrad_fm[{package['extra']}]" if package["extra"] else name
    state = "not there" if package["extra"] else "MISSING"
    return name, state, f'{package["gives"]}; get it with: pip install "{wanted}"'


def _optimizers(why_not: str | None) -> tuple[str, str, str]:
    if why_not is None:
        return "optimizers", "compiled", f"once that pays; NumPy alone with {fast.VARIABLE}=0"
    return "optimizers", "NumPy", why_not


def _renderer(renderer: dict[str, str] | None) -> tuple[str, str, str]:
    if renderer is not None:
        return renderer["name"], "found", renderer["path"]
    return "none", "not there", 'graphs are written as .dot; pip install "tinygrad_fm[render]"'
