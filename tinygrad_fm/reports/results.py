"""Results on disk: a folder for each training, with all that is known of it as JSON."""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_fm
from tinygrad_fm.train.files import replacing

HOME = Path("runs/reports")


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result whole or not at all, with the versions and the machine."""
    complete = {**result, "versions": versions(), "machine": machine()}
    text = json.dumps(_to_json(complete), allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_result(path: Path) -> dict[str, Any]:
    """What `write_result` wrote.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is no such JSON.
    """
    try:
        found: dict[str, Any] = _from_json(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no result: {error}; remove it and run again") from error
    return found


def versions() -> dict[str, str]:
    """Of what computed it."""
    return {
        "tinygrad_fm": tinygrad_fm.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "date": datetime.date.today().isoformat(),
    }


def machine() -> str:
    """The processor, how many of its cores are ours, and the system."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(x.partition(":")[2].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _to_json(value: Any) -> Any:
    """With words for the numbers that JSON has not."""
    if isinstance(value, Mapping):
        return {k: _to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _from_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_from_json(v) for v in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value
