"""How fast tinygrad_fm is beside hand-written NumPy and other frameworks; see README.md."""
