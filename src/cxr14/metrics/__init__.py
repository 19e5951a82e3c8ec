"""Measures and their intervals: NumPy only, no files, no text."""
