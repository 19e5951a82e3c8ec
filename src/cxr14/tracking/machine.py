"""CPU, memory, disk, network and, where there is one, GPU of the machine during a training."""

import sys
from collections.abc import Callable
from threading import Thread
from typing import Any

INTERVAL = 5  # seconds between samples: a dozen points a minute, 10 ms of work each
PATIENCE = 5  # seconds that the end of a training waits for the last sample to be sent


def watch_machine(run_id: str) -> Callable[[], None]:
    """Record ``system/…`` metrics in a run, by MLflow's own monitor, until told to stop.

    MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false turns it off, and
    MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL (seconds) changes the interval. The monitor is a
    daemon thread that meets its own errors: it neither stops nor outlives the training.

    Returns:
        What ends the monitor; called a second time it does nothing.
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    switch: Any = MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING  # the store turns it on
    if not switch.get():
        return _nothing
    try:
        make: Any = SystemMetricsMonitor  # without types
        monitor = make(run_id, sampling_interval=INTERVAL)
    except Exception as error:  # of a driver or a sensor; no reason to train without a record
        print(f"warning: no system metrics ({type(error).__name__}: {error})", file=sys.stderr)
        return _nothing
    monitor.start()

    def stop() -> None:
        ending = Thread(target=monitor.finish, daemon=True)  # it may wait for a server
        ending.start()
        ending.join(PATIENCE)

    return stop


def _nothing() -> None:
    """End no monitor."""
