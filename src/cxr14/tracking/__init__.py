"""MLflow runs, registry and UI: a view of DVC's artifacts that can be rebuilt at any time.

The only room that imports mlflow, and only inside functions: importing it takes seconds. (The two
modules that run where a model is loaded, ``pyfunc_model`` and ``serving_input``, do it at once.)
``store`` opens the store; ``runs`` records a training while it goes, ``machine`` the load of the
machine, ``experiments`` puts it under its ``dvc exp``; ``artifacts`` reads what the pipeline left;
``reconcile``, ``origin``, ``registry`` and ``packaging`` bring MLflow in line with it; ``ui`` shows
it.
"""
