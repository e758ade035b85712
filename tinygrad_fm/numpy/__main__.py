"""`python -m tinygrad_fm.numpy` prints the table of NumPy's functions."""

from tinygrad_fm.numpy.table import page

print(page(), end="")
