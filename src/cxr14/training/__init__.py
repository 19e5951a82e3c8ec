"""Losses and the training loop; independent of DVC and MLflow."""
