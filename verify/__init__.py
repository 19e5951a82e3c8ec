"""Checks that a run gives the committed results, and the same ones on other processors."""

import stages as stages  # its environment comes before the first import of NumPy
