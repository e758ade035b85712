"""The README: its snippets run, and print what it says they print."""

import contextlib
import io
import os
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tinygrad_fm.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")


def snippets():
    """The Python blocks, each with the text block that directly follows, or None."""
    blocks = BLOCK.findall(README)
    for i, (kind, code) in enumerate(blocks):
        if kind == "python":
            following = blocks[i + 1] if i + 1 < len(blocks) else ("", "")
            yield code, following[1] if following[0] == "text" else None


def test_every_snippet_runs_and_prints_what_the_readme_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    for code, expected in snippets():
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), names)  # one reader, from top to bottom
        if expected is not None:
            same_text(printed.getvalue(), expected)
    assert "must be 32" in Path("fails.html").read_text(encoding="utf-8")  # it says where
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for path in tmp_path.iterdir():  # what a reader's clone is left with
        assert any(fnmatch(f"/{path.name}", pattern) for pattern in ignored), path.name


def test_the_slip_is_found_as_the_readme_says(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    block = re.search(r"```console\n(.*?)```", README, re.DOTALL).group(1)
    command, _, expected = block.partition("\n")
    assert main(command.removeprefix("$ tinygrad-fm ").split()) == 1
    same_text(capsys.readouterr().out, expected)


def same_text(printed, expected):
    """Equal but for the last digits of numbers, which may differ from one BLAS to another."""
    assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", expected).split()
    ours, theirs = (list(map(float, NUMBER.findall(text))) for text in (printed, expected))
    assert ours == pytest.approx(theirs, rel=0.03, abs=1e-6)


def test_the_quickstart_is_the_readmes_example():
    example = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    first, _ = next(snippets())
    assert first.strip() == example.split('"""', 2)[2].strip()


def test_every_room_of_the_map_exists():
    rooms = re.findall(r"^\| (`[^|]+`) \|", README, re.MULTILINE)
    names = [name for row in rooms for name in re.findall(r"`([^`]+)`", row)]
    assert len(names) > 10
    for name in names:
        assert (ROOT / "tinygrad_fm" / name).exists(), name


def test_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=os.path.basename)
def test_an_example_runs_and_is_short(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 80
    exec(compile(source, str(path), "exec"), {"__name__": "__main__", "__file__": str(path)})
