"""Predictions, scores on validation and test, comparisons of networks."""
