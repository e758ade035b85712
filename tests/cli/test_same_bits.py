"""Same seed, same bits: the command in two processes writes the same weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_fm

PROGRAM = [sys.executable, "-W", "error", "-m", "tinygrad_fm", "train"]
SMALL = ["--data", "fashion-mnist-mini", "--epochs", "1", "--batch-size", "500"]


@pytest.mark.parametrize(
    "words",
    [
        ["--hidden", "16", "--batch-norm", "--dropout", "0.2", "--early-stopping", "2"],
        ["--model", "cnn", "--channels", "1", "--optimizer", "sgd", "--schedule", "cosine"],
    ],
    ids=["mlp", "cnn"],
)
def test_two_processes_write_the_same_weights(tmp_path, words):
    environment = {**os.environ, "PYTHONPATH": str(Path(tinygrad_fm.__file__).parents[1])}
    outputs = []
    for i in "ab":
        # a process hashes its strings in its own way, which must not matter
        environment["PYTHONHASHSEED"] = str(ord(i))
        program = [*PROGRAM, *SMALL, *words, "--out", str(tmp_path / i)]
        subprocess.run(program, env=environment, check=True, capture_output=True)
        outputs.append((tmp_path / i / "weights.safetensors").read_bytes())
    assert outputs[0] == outputs[1]
