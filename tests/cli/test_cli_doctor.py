"""tinygrad-fm doctor: the findings, for people and for programs, and when it says no."""

import json
import re

import numpy as np
import pytest

import tinygrad_fm
from tinygrad_fm.cli import doctor
from tinygrad_fm.threads import VARIABLES


def test_it_finds_what_is_here(command):
    done = command("doctor", "--json")
    found = json.loads(done.out)
    assert done.code == 0
    assert found["ok"]
    assert found["tinygrad_fm"]["version"] == tinygrad_fm.__version__
    assert found["packages"]["numpy"]["version"] == np.__version__
    assert found["data"]["fashion-mnist"] is None
    assert found["data"]["fashion-mnist-mini"]
    assert found["gradient_error"] < 1e-14
    assert found["blas"]["name"]


def test_the_page_says_the_same(command):
    done = command("doctor")
    assert done.code == 0
    assert done.out.endswith("all is well\n")
    for text in (f"numpy          {np.__version__}", "gradient  right", "data sets", "BLAS"):
        assert text in done.out


def test_what_is_missing_is_named_with_what_it_would_give(command, monkeypatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda n: None if n == "matplotlib" else version(n))
    monkeypatch.setattr(doctor, "find_renderer", lambda: None)
    done = command("doctor")
    assert done.code == 0
    assert (
        "not there  learning curves and confusion matrices as pictures; get it with: " in done.out
    )
    assert 'pip install "tinygrad_fm[plot]"' in done.out
    assert "none  not there  graphs are written as .dot" in done.out


def test_a_required_package_that_is_missing_is_a_failure(command, monkeypatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda n: None if n == "tqdm" else version(n))
    done = command("doctor")
    assert done.code == 1
    assert re.search(r'tqdm +MISSING +the progress bar; get it with: pip install "tqdm"', done.out)
    assert done.out.endswith("something that is needed is missing or wrong\n")


def test_a_wrong_gradient_is_a_failure(command, monkeypatch):
    monkeypatch.setattr(doctor, "gradient_error", lambda: 0.25)
    done = command("doctor")
    assert done.code == 1
    assert "gradient  WRONG  relative error 2.5e-01" in done.out


@pytest.mark.parametrize(
    ("why_not", "line"),
    [
        (None, "optimizers  compiled  once that pays; NumPy alone with TINYGRAD_FM_FAST=0"),
        ("Numba is not installed", "optimizers  NumPy  Numba is not installed"),
    ],
)
def test_it_says_what_updates_the_parameters(command, monkeypatch, why_not, line):
    monkeypatch.setattr(doctor.fast, "why_not", lambda: why_not)
    assert line in re.sub(" {2,}", "  ", command("doctor").out)
    assert json.loads(command("doctor", "--json").out)["numpy_steps_because"] == why_not


def test_without_threadpoolctl_the_threads_are_unknown(monkeypatch):
    monkeypatch.setattr(doctor.threads, "_libraries", list)  # none that can be asked
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    facts = doctor.blas()
    assert facts["threads"] is None
    assert facts["source"] == "$OMP_NUM_THREADS"
    assert facts["name"]


@pytest.mark.parametrize(
    ("library", "told", "setting", "line"),
    [
        ("openblas", 4, "", "one thread  in train.fit and the commands; in loops of your own set "),
        ("openblas", None, "", "faster  with one thread: set OPENBLAS_NUM_THREADS=1, or pip inst"),
        ("mkl", 4, "4", "faster  with one thread: set MKL_NUM_THREADS=1\n"),
        ("openblas", 1, "", None),
        ("openblas", None, "1", None),
        ("accelerate", None, "", None),
    ],
)
def test_it_says_what_several_threads_mean_for_small_networks(
    command, monkeypatch, library, told, setting, line
):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if setting:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
    monkeypatch.setattr(doctor.threads, "library", lambda: (library, "1.0"))
    monkeypatch.setattr(doctor.threads, "counts", lambda: [told] if told else [])
    monkeypatch.setattr(doctor.threads, "cpus", lambda: 4)
    out = re.sub(" {2,}", "  ", command("doctor").out)
    assert ("small networks" in out) == (line is not None)
    assert line is None or f"small networks  {line}" in out


@pytest.mark.parametrize(
    ("library", "setting", "said"),
    [
        ("mkl", "", True),
        ("mkl", "AUTO", True),
        ("mkl", "AUTO,STRICT", False),
        ("openblas", "", False),
    ],
)
def test_mkl_needs_a_setting_for_the_same_bits(command, monkeypatch, library, setting, said):
    monkeypatch.setattr(doctor.threads, "library", lambda: (library, "1.0"))
    monkeypatch.setenv("MKL_CBWR", setting)
    out = command("doctor").out
    assert f"{library} 1.0" in out
    assert ("MKL_CBWR=AUTO,STRICT" in out) == said


@pytest.mark.parametrize("name", doctor.PACKAGES)
def test_every_package_is_one_that_the_project_names(name):
    import tomllib
    from pathlib import Path

    project = Path(tinygrad_fm.__file__).parents[1] / "pyproject.toml"
    if not project.is_file():
        pytest.skip("not run from a checkout")
    table = tomllib.loads(project.read_text())["project"]
    extra = doctor.PACKAGES[name][1]
    listed = table["optional-dependencies"][extra] if extra else table["dependencies"]
    assert any(requirement.startswith(f"{name}>=") for requirement in listed)
