"""Score a trained network on held-out images: predictions, decisions, metrics, curves.

    python -m stages.evaluate --backbone alexnet

Thresholds (highest F1), Platt and temperature scaling are chosen on validation; nothing that learns
or chooses reads the labels of test. Intervals: patients resampled. How to read the numbers:
docs/evaluation.md.

Reads models/B, data/cache, data/records, data/split.
Writes predictions/B.parquet, evaluation/B/decision.json, metrics/evaluate/B.json,
metrics/evaluate/B/findings.csv and means.csv, plots/evaluate/B/roc.csv, pr.csv, reliability.csv and
threshold_f1.csv.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from cxr14.data.cache import open_cache
from cxr14.data.labels import label_matrix
from cxr14.evaluation.bootstrap import SEED
from cxr14.evaluation.curves import curve_tables
from cxr14.evaluation.predict import (
    held_out,
    predict_logits,
    prediction_table,
    probability_columns,
)
from cxr14.evaluation.scorecard import score
from cxr14.evaluation.terminal import TABLE_WIDTH, findings_table
from cxr14.files import read_json, write_csv, write_json, write_metrics, write_parquet
from cxr14.models.store import load_model
from cxr14.params import evaluate
from stages import run


def main(backbone: Annotated[str, typer.Option(help="which of models/ to score")]) -> None:
    """Run the stage."""
    images, index = open_cache("data/cache")
    listed = held_out(index, pd.read_parquet("data/split/split.parquet"))
    network, model = load_model(f"models/{backbone}")
    size, batch_size, rows = model["input_size"], evaluate.read().batch_size, listed["row"]
    logits = predict_logits(network, images, rows.to_numpy(), size, batch_size)
    records = pd.read_parquet("data/records/images.parquet")
    table = score_logits(backbone, listed, logits, model["classes"], records)
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)  # `dvc repro` into a file says 80
    console.print(table)


def score_logits(
    name: str,
    listed: pd.DataFrame,
    logits: npt.NDArray[np.float32],
    classes: Sequence[str],
    records: pd.DataFrame,
    root: Path = Path(),
) -> Table:
    """Score the answers of a network, or of an average of networks, and write what is known.

    Args:
        name: of the network.
        listed: image and split of the M held-out images.
        logits: (M, C) float32.
        classes: C names.
        records: patients and labels.
        root: the folder that holds predictions, evaluation, metrics and plots.

    Returns:
        The table for the terminal.
    """
    predictions = prediction_table(listed, logits, classes)
    write_parquet(root / f"predictions/{name}.parquet", predictions)
    own = records.set_index("image").loc[listed["image"]]
    labels, patients = label_matrix(own, classes), own["patient"].to_numpy()
    probabilities = predictions[probability_columns(classes)].to_numpy()
    parts, answers = listed["split"].to_numpy(str), (labels, logits, probabilities, patients)
    decision, scores = score(name, parts, *answers, np.random.default_rng(SEED), classes)
    phantom = int(read_json("data/records/source.json")["phantom"])
    write_json(root / f"evaluation/{name}/decision.json", decision)
    metrics = root / "metrics/evaluate"
    write_metrics(metrics / f"{name}.json", {**scores.headline, "phantom": phantom})
    write_csv(metrics / name / "findings.csv", scores.findings)
    write_csv(metrics / name / "means.csv", scores.means)
    test = parts == "test"
    curves = curve_tables(labels[test], logits[test], probabilities[test], classes)
    for curve, points in curves.items():
        write_csv(root / f"plots/evaluate/{name}/{curve}.csv", points)
    return findings_table(name, scores, bool(phantom))


if __name__ == "__main__":
    run(main, __doc__)
