"""Difficulty of the phantoms: networks against logistic regression on thumbnails.

    python benchmarks/learning.py        (after dvc repro)

Targets on the default phantoms: the best backbone has a macro AUROC of at least .85 on test, two
have .80, every one .68, and logistic regression on 16×16 thumbnails stays at least .12 under the
best. The regression's strength is chosen on validation, per finding.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr14.io import read_json
from cxr14.labels import FINDINGS, label_matrix
from cxr14.metrics.auroc import auroc
from cxr14.preprocessing.cache import open_cache, rows_of

SIDE = 16
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
BEST, TWO, EVERY, MARGIN = 0.85, 0.80, 0.68, 0.12


def read_splits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return thumbnails (N, 256) and labels (N, 15) of train, val and test."""
    images, index = open_cache()
    records = pd.read_parquet("data/records/images.parquet")
    records["split"] = pd.read_parquet("data/split/split.parquet").split
    splits = {}
    for split, rows in records[records.image.isin(index.image.tolist())].groupby("split"):
        small = [
            np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))
            for image in images[rows_of(index, rows.image)]
        ]
        splits[str(split)] = (np.stack(small).reshape(len(rows), -1) / 255, label_matrix(rows))
    return splits


def thumbnail_auroc(splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the macro AUROC on test of one regression per finding."""
    (train, wanted), (val, val_labels), (test, test_labels) = (
        splits[name] for name in ("train", "val", "test")
    )
    areas = []
    for finding in range(len(FINDINGS)):
        models = [
            make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500)).fit(
                train, wanted[:, finding]
            )
            for strength in STRENGTHS
        ]
        scores = [auroc(val_labels[:, finding], model.decision_function(val)) for model in models]
        best = models[int(np.argmax([score or 0 for score in scores]))]
        areas.append(auroc(test_labels[:, finding], best.decision_function(test)))
    return float(np.mean([area for area in areas if area is not None]))


def main() -> None:
    """Print the table and say which targets hold."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    if not Path("metrics/summary.json").exists():
        raise SystemExit("error: no metrics/summary.json; run `dvc repro` first")
    summary = read_json("metrics/summary.json")
    networks = {
        name: metrics["test_macro_auroc"]
        for name, metrics in summary.items()
        if isinstance(metrics, dict) and name != "baseline"
    }
    floor = thumbnail_auroc(read_splits())
    kind = "phantom radiographs" if summary["phantom"] else "real radiographs"
    print(f"macro AUROC on test, {kind}")
    for name, value in sorted(networks.items(), key=lambda item: -item[1]):
        print(f"  {name:40s} {value:.3f}")
    print(f"  {'logistic regression, 16×16 thumbnails':40s} {floor:.3f}")
    best, *others = sorted(networks.values(), reverse=True)
    for text, holds in (
        (f"best ≥ {BEST}", best >= BEST),
        (f"two ≥ {TWO}", others[:1] >= [TWO]),
        (f"every backbone ≥ {EVERY}", min(networks.values()) >= EVERY),
        (f"thumbnails at least {MARGIN} under the best", best - floor >= MARGIN),
    ):
        print(f"  {'holds' if holds else 'FAILS'}: {text}")


if __name__ == "__main__":
    main()
