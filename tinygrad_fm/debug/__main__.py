"""`python -m tinygrad_fm.debug > docs/kinks.md`: the kink table as a page of documentation."""

from tinygrad_fm.debug.kink_table import to_markdown

print(to_markdown(), end="")
