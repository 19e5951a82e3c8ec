"""Scores of a trained model: predictions, thresholds, AUROC."""
