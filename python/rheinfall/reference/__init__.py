"""Slow definitions of each kernel in plain Python and NumPy: the specification in code."""
