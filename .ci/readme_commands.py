"""Prints the shell commands of the README, one a line: CI runs what a newcomer would type."""

import re
from pathlib import Path

readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
for block in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL):
    print(block.strip())
