"""Imports go down the rooms only, and starting up imports little."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import tinygrad_fm

ROOT = Path(tinygrad_fm.__file__).parent
ROOMS = [
    ["engine", "fast", "threads"],
    ["workers"],
    ["rules"],
    [
        *("tensor", "recording", "recorded", "dispatch", "operand_errors", "operators"),
        *("array_methods", "sharing", "writing"),
    ],
    ["trees"],
    ["transforms", "custom", "checkpointing", "functional", "numpy", "graph", "program", "debug"],
    ["testing"],
    ["nn", "optim", "data"],
    ["train", "plots"],
    ["reports"],
    ["cli", "__main__"],
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
# who may not call whom although the levels would allow it
FORBIDDEN = {("optim", "nn"), ("nn", "optim"), ("data", "nn"), ("nn", "data"), ("data", "optim")}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinygrad_fm"):
            parts = node.module.split(".")
            if len(parts) > 1:
                yield parts[1]
            else:
                yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (
                a.name.split(".")[1] for a in node.names if a.name.startswith("tinygrad_fm.")
            )


def test_imports_go_down_only():
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in LEVEL, f"{path} is in no room; give it a level in this test"
        for target in imports(path):
            if target in LEVEL and target != room:
                up = LEVEL[target] > LEVEL[room]
                if up or (room, target) in FORBIDDEN:
                    wrong.append(f"{path.relative_to(ROOT)} imports {target}")
    assert wrong == []


def test_start_up_imports_numpy_and_little_else():
    program = "import sys, tinygrad_fm; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT.parent)},
    )
    loaded = set(done.stdout.split())
    heavy = {
        "matplotlib",
        "graphviz",
        "hypothesis",
        "safetensors",
        "tqdm",
        "scipy",
        "torch",
        "numba",
        # 15 and 5 ms
        "numpy.random",
        "subprocess",
    }
    assert loaded & heavy == set()
