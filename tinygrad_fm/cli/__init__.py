"""The command line: `tinygrad-fm`, also `python -m tinygrad_fm`.

Exit codes: 0 all is well, 1 it failed, 2 wrong usage, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tinygrad_fm.cli.parser import make_parser, unknown_words
from tinygrad_fm.cli.text import INTERRUPTED, CommandError, UsageError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: the words after the program's name; by default those it was started with.
    """
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except SystemExit as end:  # argparse, after --help, --version or an error
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(argv: Sequence[str] | None) -> int:
    parser = make_parser()
    arguments, unknown = parser.parse_known_args(argv)
    command = getattr(arguments, "parser", parser)
    if unknown:
        command.error(unknown_words(command, unknown))
    if not hasattr(arguments, "run"):
        command.print_help(sys.stderr)
        return 2
    try:
        code: int = arguments.run(arguments)
    except UsageError as error:
        command.error(str(error))
    except CommandError as error:
        print(f"{command.prog}: {error}", file=sys.stderr)
        return 1
    return code
