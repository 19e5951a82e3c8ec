"""Synchronize MLflow with the artifacts: runs, registered model, champion.

    python -m stages.register                  (also: make register)
    python -m stages.register --best-effort    (as `dvc repro` runs it)
    python -m stages.register --promote NAME   (also: make register ARGS="--promote NAME")

With --best-effort an unusable store is a warning, registered.json is an empty list, and the stage
succeeds: MLflow is only a view of the artifacts.

Reads models/B, plots/train/B.csv, metrics/evaluate/B.json, metrics/localize/B.json,
plots/evaluate/B, plots/localize/B, evaluation/B/decision.json, predictions/B.parquet,
serving/B.json, data/input_check.npz, data/records, data/split and data/cache for each backbone B
of train.backbones that is trained.
Writes the MLflow store (mlflow.db and mlruns/, or MLFLOW_TRACKING_URI) and
registry/registered.json.

A second run adds nothing; a deleted store is restored as far as the artifacts allow.
The alias champion moves to the best model on validation if it is ahead by more than the paired
interval, or to NAME, after that model was loaded back and agreed with its predictions.
"""

from pathlib import Path

from rich.table import Table

from cxr14.config.blocks import read_train
from cxr14.config.external import read_external
from cxr14.console import print_tables
from cxr14.io import write_json
from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.registry import (
    MODEL,
    BestEffort,
    Promote,
    Registered,
    Registration,
    phantom_note,
    register,
    register_or_warn,
)
from stages import run

OUT = Path("registry/registered.json")


def main(best_effort: BestEffort = False, promote: Promote = None) -> None:
    """Register the trained models, print a table, and write registered.json."""
    trained = find_trained(read_train().backbones, sets=read_external().sets)
    if best_effort:
        registration = register_or_warn(trained, MODEL, "make register", promote)
    else:
        registration = register(trained, MODEL, promote)
    show(registration)
    write_json(OUT, [entry(model) for model in registration.models if model.version is not None])


def show(registration: Registration) -> None:
    """Print the table of the registered models, if any, and the sentence on the champion."""
    if registration.models:
        print_tables(table(registration.models), registration.champion)


def entry(model: Registered) -> dict[str, str | bool]:
    """Return the entry of a model in registered.json: what follows from its artifacts alone."""
    return {
        "backbone": model.trained.backbone,
        "identity": model.trained.identity,
        "weights_sha256": model.trained.model["weights_sha256"],
    }


def table(registered: list[Registered]) -> Table:
    """Lay out the registered models, one per row."""
    caption = max(phantom_note(model.trained) for model in registered) or None
    laid_out = Table("backbone", "version", "val AUROC", "run", title="MLflow", caption=caption)
    for model in registered:
        version = model.version or "not evaluated"
        mark = " champion" if model.champion else ""
        score = f"{model.trained.score:.4f}"
        laid_out.add_row(model.trained.backbone, version + mark, score, model.run_id)
    return laid_out


if __name__ == "__main__":
    run(main, __doc__)
