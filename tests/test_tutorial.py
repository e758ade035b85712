"""The tutorial runs from its first cell to its last, and draws what it says."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "examples" / "tutorial"


def test_every_tutorial_runs_and_its_cells_are_told_before_they_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = sorted(FOLDER.glob("*.py"))
    assert paths
    for path in paths:
        source = path.read_text(encoding="utf-8")
        kinds = re.findall(r"^# %%( \[markdown\])?$", source, re.MULTILINE)
        assert kinds == [" [markdown]", ""] * (len(kinds) // 2) + [" [markdown]"]
        exec(compile(source, str(path), "exec"), {"__name__": "__main__"})
        named = set(re.findall(r'"(\w+\.(?:html|png))"', source))
        assert {p.name for p in tmp_path.iterdir()} >= {n for n in named if n.endswith("html")}
