"""For all tests: how many examples are tried, and a machine without data sets of its own."""

import os

import pytest
from hypothesis import settings

# HYPOTHESIS_PROFILE=dev pytest looks further than ci
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50, database=None)
settings.register_profile("dev", deadline=None, max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def bare_machine(tmp_path, monkeypatch):
    """No variable, no cache, no system folder; the home and the current folder are empty."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    for name in ("TINYGRAD_FM_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("LOCALAPPDATA", str(home / "AppData" / "Local"))
    monkeypatch.setattr("tinygrad_fm.data.places.DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.chdir(here)
    return tmp_path
