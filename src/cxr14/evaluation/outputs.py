"""The files that evaluation leaves of a network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.table import Table

from cxr14.data.labels import label_matrix
from cxr14.data.stored import read_source
from cxr14.evaluation.bootstrap import SEED
from cxr14.evaluation.curves import curve_tables
from cxr14.evaluation.predict import prediction_table, probability_columns
from cxr14.evaluation.scorecard import score
from cxr14.evaluation.terminal import findings_table
from cxr14.files import write_csv, write_json, write_metrics, write_parquet


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
    phantom = int(read_source()["phantom"])
    write_json(root / f"evaluation/{name}/decision.json", decision)
    metrics = root / "metrics/evaluate"
    write_metrics(metrics / f"{name}.json", {**scores.headline, "phantom": phantom})
    for table, rows in {"findings": scores.findings, "means": scores.means}.items():
        write_csv(metrics / name / f"{table}.csv", rows.assign(phantom=phantom))
    test = parts == "test"
    curves = curve_tables(labels[test], logits[test], probabilities[test], classes)
    for curve, points in curves.items():
        # A column, from which the plots take their note.
        write_csv(root / f"plots/evaluate/{name}/{curve}.csv", points.assign(phantom=phantom))
    return findings_table(name, scores, bool(phantom))
