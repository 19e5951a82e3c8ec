"""Predictions, their measures on test, and comparisons of networks."""
