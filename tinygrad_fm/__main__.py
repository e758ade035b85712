"""`python -m tinygrad_fm` is the command `tinygrad-fm`."""

import sys

from tinygrad_fm.cli import main

if __name__ == "__main__":
    sys.exit(main())
