"""How the command line speaks: its two errors, an exit code, and text for people."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Sequence

INTERRUPTED = 130  # the exit code that shells report for a program that Ctrl-C ended


class CommandError(Exception):
    """A command failed; the message is all that the user sees, without a traceback."""


class UsageError(CommandError):
    """A command was asked for something that makes no sense."""


def bold(text: str) -> str:
    """The text in bold type on a terminal, and as it is in a pipe or where NO_COLOR is set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not sys.stdout.isatty() else f"\x1b[1m{text}\x1b[0m"


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'train'?` where a known word is near, else an empty string."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def table(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Rows as columns that line up, two spaces between them."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(indent + line.rstrip() for line in lines)


def counted(number: int, noun: str, plural: str = "s") -> str:
    """`1 epoch`, `1,000 epochs`."""
    return f"{number:,} {noun}{'' if number == 1 else plural}"
