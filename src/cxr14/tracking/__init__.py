"""MLflow runs, registry and UI: a view of DVC's artifacts that can be rebuilt at any time.

The only room that imports mlflow, and only inside functions: importing it takes seconds.
``store`` opens the store, ``runs`` records a training while it goes, ``artifacts`` reads what
the pipeline left, ``reconcile`` and ``registry`` bring MLflow in line with it, ``ui`` shows it.
"""
