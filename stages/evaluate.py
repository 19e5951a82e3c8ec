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

from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console

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
    classes: list[str] = model["classes"]
    size, batch_size, rows = model["input_size"], evaluate.read().batch_size, listed["row"]
    logits = predict_logits(network, images, rows.to_numpy(), size, batch_size)
    predictions = prediction_table(listed, logits, classes)
    write_parquet(f"predictions/{backbone}.parquet", predictions)

    records = pd.read_parquet("data/records/images.parquet").set_index("image")
    records = records.loc[listed["image"]]
    labels, patients = label_matrix(records, classes), records["patient"].to_numpy()
    probabilities = predictions[probability_columns(classes)].to_numpy()
    parts, answers = listed["split"].to_numpy(str), (labels, logits, probabilities, patients)
    decision, scores = score(backbone, parts, *answers, np.random.default_rng(SEED), classes)
    phantom = int(read_json("data/records/source.json")["phantom"])
    write_json(f"evaluation/{backbone}/decision.json", decision)
    write_metrics(f"metrics/evaluate/{backbone}.json", {**scores.headline, "phantom": phantom})
    write_csv(f"metrics/evaluate/{backbone}/findings.csv", scores.findings)
    write_csv(f"metrics/evaluate/{backbone}/means.csv", scores.means)
    test = parts == "test"
    curves = curve_tables(labels[test], logits[test], probabilities[test], classes)
    for name, curve in curves.items():
        write_csv(f"plots/evaluate/{backbone}/{name}.csv", curve)
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)  # `dvc repro` into a file says 80
    console.print(findings_table(backbone, scores, bool(phantom)))


if __name__ == "__main__":
    run(main, __doc__)
