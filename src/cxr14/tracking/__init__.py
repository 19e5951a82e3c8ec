"""MLflow runs, registry and UI: a view of DVC's artifacts that can be rebuilt at any time."""
