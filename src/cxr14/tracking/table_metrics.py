"""MLflow metrics of the tables of a trained model."""

from collections.abc import Callable, Mapping

import pandas as pd

from cxr14.io import Kind
from cxr14.localization.overlap import MEAN, POOLED

PER_FINDING = (
    "auroc",
    "average_precision",
    "f1",
    "precision",
    "recall",
    "specificity",
    "threshold",
    "brier",
    "ece",
    "positives",
)
"""Columns of metrics/evaluate/B/findings.csv that become MLflow metrics."""

PER_BOXED = {"accuracy": "accuracy_iobb_t10", "pointing": "pointing", "energy": "energy"}
"""Columns of metrics/localize/B that become MLflow metrics by finding; accuracy at T(IoBB) .1."""


def table_metrics(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Return the MLflow metrics of the tables in metrics/evaluate/B and metrics/localize/B.

    Args:
        tables: by the name of the file; only those in READERS are used.

    Returns:
        About 200 numbers by name, NaN where a cell is empty.
    """
    known: dict[str, float] = {}
    for name, numbers in READERS.items():
        known |= numbers(tables[name]) if name in tables else {}
    return known


def _of_findings(table: pd.DataFrame) -> dict[str, float]:
    """Name the scores of each finding ``auroc/Mass``."""
    return _by_finding(table, {name: name for name in PER_FINDING})


def _of_boxes(table: pd.DataFrame) -> dict[str, float]:
    """Name the mean at each T ``localize/iobb/mean_accuracy/t10``, a finding's at T(IoBB) .1."""
    pooled = table[table["heat_threshold"].astype(str) == POOLED]
    means = pooled[pooled["finding"] == MEAN]
    at_t10 = pooled[(pooled["measure"] == "iobb") & (pooled["overlap_threshold"] == 0.1)]
    named = {
        f"localize/{measure}/mean_{name}/t{round(100 * limit):02d}": value
        for name in ("accuracy", "afp")
        for measure, limit, value in zip(
            means["measure"], means["overlap_threshold"], means[name], strict=True
        )
    }
    return named | _by_finding(at_t10[at_t10["finding"] != MEAN], PER_BOXED)


def _of_pointing(table: pd.DataFrame) -> dict[str, float]:
    """Name the scores of the method, the first in the table, ``pointing/Mass``."""
    method_rows = table[(table["method"] == table["method"].iloc[0]) & (table["finding"] != MEAN)]
    return _by_finding(method_rows, PER_BOXED)


def _by_finding(table: pd.DataFrame, names: Mapping[str, str]) -> dict[str, float]:
    return {
        f"{name}/{finding}": float(value)
        for column, name in names.items()
        if column in table
        for finding, value in zip(table["finding"], table[column], strict=True)
    }


COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    "findings": {"finding": "text"},
    "accuracy": {
        "measure": "text",
        "overlap_threshold": "number",
        "heat_threshold": "any",
        "finding": "text",
        "accuracy": "number",
        "afp": "number",
    },
    "pointing": {"method": "text", "finding": "text"},
}
"""Required columns by table."""

READERS: dict[str, Callable[[pd.DataFrame], dict[str, float]]] = {
    "findings": _of_findings,
    "accuracy": _of_boxes,
    "pointing": _of_pointing,
}
"""Functions from a table to its metrics, by the name of the table."""
