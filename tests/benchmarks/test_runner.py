"""The benchmark runner: it runs, its contenders agree, and its JSON has what a reader needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import registry

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What one quick run under one thread prints and writes."""
    file = tmp_path_factory.mktemp("benchmarks") / "results.json"
    options = ("--quick", "--only", "chain", "--threads", "1", "--repeats", "2")
    done = run("-m", "benchmarks", *options, "--json", str(file))
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_text(encoding="utf-8"))


def test_the_machine_and_the_threads_are_stated(quick):
    printed, results = quick
    assert results["machine"]["processor"] in printed
    assert results["machine"]["versions"]["numpy"] in printed
    (found,) = results["runs"]
    assert (found["setting"], found["threads"]) == ("1", 1)
    assert set(found["variables"].values()) == {"1"}
    assert set(found["blas_threads"] or [1]) == {1}  # SciPy, where imported, has a BLAS too
    assert found["torch_threads"] in (None, 1)


def test_contenders_agree_and_are_timed_in_every_round(quick):
    _, results = quick
    (found,) = results["runs"]
    (case,) = found["cases"]
    assert found["benchmark"] == "chain"
    assert case["agree"]["largest_difference"] <= case["agree"]["rtol"]
    names = [c["name"] for c in case["contenders"]]
    assert names[:2] == ["tinygrad_fm", "NumPy, forward only"]
    for contender in case["contenders"]:
        assert len(contender["samples"]) == results["repeats"] == 2
        for quartiles in (contender["value"], contender["ratios"]["tinygrad_fm"]):
            assert 0 < quartiles["lower"] <= quartiles["median"] <= quartiles["upper"]
    assert case["contenders"][0]["ratios"]["tinygrad_fm"] == {"lower": 1, "median": 1, "upper": 1}


def test_every_contender_is_in_the_table_or_skipped_with_its_reason(quick):
    printed, results = quick
    (case,) = results["runs"][0]["cases"]
    for name in ("tinygrad_fm", "PyTorch", "MyGrad", "HIPS autograd"):
        assert f"  {name}" in printed
        timed = any(c["name"] == name for c in case["contenders"])
        assert timed != bool(case["skipped"].get(name))


def test_a_benchmark_without_numba_does_not_take_it_from_the_next_one():
    names = ("overhead", "optimizers")
    options = ("--quick", "--threads", "1", "--repeats", "1")
    done = run("-m", "benchmarks", *options, "--only", *names)
    assert done.returncode == 0, done.stderr
    assert [done.stdout.count(f"==== {name}") for name in names] == [1, 1]
    assert "TINYGRAD_FM_FAST" not in done.stdout


def test_a_contender_with_another_result_stops_the_run():
    program = """
from benchmarks.measure import Case, measure
right, wrong = (lambda: lambda: (1.0,)), (lambda: lambda: (1.1,))
measure(Case("sum", {"tinygrad_fm": right, "wrong": wrong}), repeats=1)
"""
    done = run("-c", program)
    assert done.returncode == 1
    assert "AssertionError: sum: in step 0, wrong returns 1.1 and tinygrad_fm 1.0" in done.stderr


def test_a_contender_that_cannot_run_is_skipped():
    program = """
from benchmarks.measure import Case, measure
def missing():
    raise ImportError("No module named 'nowhere'")
found = measure(Case("sum", {"tinygrad_fm": lambda: lambda: (1.0,), "other": missing}), repeats=1)
assert found["skipped"] == {"other": "ImportError: No module named 'nowhere'"}, found
"""
    done = run("-c", program)
    assert done.returncode == 0, done.stderr


def test_the_benchmarks_are_listed():
    assert run("-m", "benchmarks", "--list").stdout.split() == list(registry.BENCHMARKS)


def test_an_unknown_benchmark_is_refused():
    done = run("-m", "benchmarks", "--only", "nothing")
    assert done.returncode == 2
    assert "choose from" in done.stderr
