"""The command line in this process, on a machine where only the shipped data set is found."""

from types import SimpleNamespace

import pytest

from tinygrad_fm.cli import main


@pytest.fixture
def bare_machine(bare_machine, monkeypatch):
    """No data set but the shipped one; in the current folder, which is new and empty."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    return bare_machine / "here"


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
