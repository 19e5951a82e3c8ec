"""Compare the networks with each other, by group of patients, and with adjudicated labels.

All networks are scored on the same bootstrap replicates of the patients. With --against differences
of scores and boxes from a revision or a folder are printed, and nothing is written. How to read the
tables: docs/explanation/fairness.md.

    python -m stages.compare
    python -m stages.compare --against main            # a branch, a tag, a commit, an experiment
    python -m stages.compare --against ../cxr14-copy   # a folder with predictions and localization

Reads predictions/B.parquet and evaluation/B/decision.json of every backbone B of train.backbones,
data/records, data/split, and the adjudicated labels of the torchxrayvision package.
Writes metrics/compare/differences.csv, subgroups.csv, gaps.csv and adjudicated.csv,
plots/compare/roc.csv, pr.csv, reliability.csv and threshold_f1.csv.
"""

from importlib import import_module
from typing import Annotated

import numpy as np
import typer

from cxr14.config.blocks import read_train
from cxr14.console import print_tables
from cxr14.datasets.records import check_in_split, read_source, read_split, records_of, write_table
from cxr14.evaluation.adjudicated import adjudicated_table, read_adjudicated
from cxr14.evaluation.compare import comparison_tables, difference_table
from cxr14.evaluation.measures import read_test_predictions
from cxr14.evaluation.subgroups import subgroup_tables
from cxr14.io import METRIC_DIGITS
from cxr14.metrics.bootstrap import SEED, draw_replicates
from cxr14.report import terminal
from stages import run

METRICS, PLOTS = "metrics/compare", "plots/compare"


def main(
    against: Annotated[
        str | None,
        typer.Option(help="Only print differences from this revision, experiment or folder."),
    ] = None,
) -> None:
    """Run the stage."""
    backbones, source = read_train().backbones, read_source()
    if against:
        # Imported by name, so that the stage does not depend on localization: nothing is written.
        runs = import_module("cxr14.localization.compare")
        table, notes = runs.compare_with_run(against, backbones)
        return print_tables(terminal.revision_table(table, against, notes, source))
    images, predictions = read_test_predictions(backbones)
    check_in_split(images, "test", read_split())
    records = records_of(images)
    replicates = draw_replicates(records["patient"].to_numpy(), np.random.default_rng(SEED))
    tables = {"differences": difference_table(records, predictions, replicates)}
    tables["subgroups"], tables["gaps"] = subgroup_tables(records, predictions, replicates)
    tables["adjudicated"] = adjudicated_table(records, predictions, read_adjudicated(), source)
    for name, table in tables.items():
        write_table(f"{METRICS}/{name}.csv", table.round(METRIC_DIGITS), source)
    for name, curve in comparison_tables(records, predictions).items():
        write_table(f"{PLOTS}/{name}.csv", curve.round(METRIC_DIGITS), source)
    gaps = terminal.largest_gaps(tables["gaps"], source)
    print_tables(terminal.differences(tables["differences"], source), gaps)


if __name__ == "__main__":
    run(main, __doc__)
