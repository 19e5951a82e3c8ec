"""Losses and the training loop; knows neither DVC nor MLflow."""
