"""The benchmark runner: it runs, its contenders agree, and its JSON has what a reader needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_quick_run_writes_a_table_and_json(tmp_path):
    file = tmp_path / "results.json"
    done = run("--quick", "--only", "chain", "--threads", "1", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "tinygrad_fm" in done.stdout
    results = json.loads(file.read_text())
    assert results["machine"]
    (found,) = results["runs"]
    assert "tinygrad_fm" in json.dumps(found)


def test_an_unknown_benchmark_is_refused():
    done = run("--only", "nothing")
    assert done.returncode == 2
    assert "choose from" in done.stderr
