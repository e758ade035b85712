"""The command line in this process, on a machine where only the shipped data set is found."""

from types import SimpleNamespace

import pytest

from tinygrad_fm.cli import main
from tinygrad_fm.data import places


@pytest.fixture
def bare_machine(tmp_path, monkeypatch):
    """No data set but the shipped one; the home and the current folder are new and empty."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    for name in ("TINYGRAD_FM_DATA", "XDG_CACHE_HOME", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("LOCALAPPDATA", str(home / "AppData" / "Local"))
    monkeypatch.setattr(places, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def command(bare_machine, capsys):
    """command("data", "info") runs it; the answer has code, out and err."""

    def run(*words):
        code = main(words)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def no_pictures(monkeypatch):
    """Neither matplotlib nor a renderer of graphs is installed."""
    monkeypatch.setattr("tinygrad_fm.plots.available", lambda: False)
    monkeypatch.setattr("tinygrad_fm.graph.render.find_renderer", lambda kind="svg": None)
