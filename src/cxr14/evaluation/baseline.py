"""The naive baseline: always the most frequent class.

Two versions:

* Figure 8 of the study, on train-val, with ten classes: the eight findings of ChestX-ray8 for
  images with that single label, No Finding, and "others" (the six later findings, and images with
  several labels).
* The measures of the networks on test, with a constant score for every finding.
"""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from cxr14.labels import CHESTXRAY8, CLASSES, FINDINGS, NO_FINDING
from cxr14.metrics.auroc import known_only, scorable

OTHERS = "others"
TEN_CLASSES = (*CHESTXRAY8, NO_FINDING, OTHERS)
"""The classes of Figure 8, in its order."""

SCORES = ("precision", "recall", "f1")

Labels = npt.NDArray[np.float32]  # (N, 15) of 0, 1 and -1 (unknown), in the order of CLASSES


def ten_classes(labels: Labels) -> npt.NDArray[np.str_]:
    """Map labels (N, 15) to the class of each image, (N,) of TEN_CLASSES."""
    single = (labels > 0).sum(axis=1) == 1
    names = np.array([name if name in TEN_CLASSES else OTHERS for name in CLASSES])
    return np.where(single, names[labels.argmax(axis=1)], OTHERS)


def figure8(labels: Labels) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score the prediction of the most frequent of the ten classes for every image.

    As in the study, the class is chosen and scored on the same images. A precision without
    predictions is 0.

    Args:
        labels: (N, 15) of train-val.

    Returns:
        Ten rows of class, precision, recall, f1, support; and accuracy, macro and weighted
        averages (each precision, recall, f1) and the supports.
    """
    truth = ten_classes(labels)
    no_inputs = np.zeros((len(truth), 1))
    guess = DummyClassifier(strategy="most_frequent").fit(no_inputs, truth).predict(no_inputs)
    score = partial(
        precision_recall_fscore_support, truth, guess, labels=list(TEN_CLASSES), zero_division=0
    )
    table = pd.DataFrame(dict(zip((*SCORES, "support"), score(), strict=True)))
    table.insert(0, "class", TEN_CLASSES)
    averages = {
        kind: dict(zip(SCORES, map(float, score(average=kind)[:3]), strict=True))
        for kind in ("macro", "weighted")
    }
    supports = {name: int(n) for name, n in zip(table["class"], table["support"], strict=True)}
    return table, {"accuracy": accuracy_score(truth, guess), **averages, "supports": supports}


def multi_label_floor(train: Labels, test: Labels) -> dict[str, Any]:
    """Score constant predictions on test: each finding's prevalence and majority in train.

    A constant has an AUROC of 0.5 and an average precision of the prevalence in test. The majority
    of a rare finding is negative, whose F1 is 0; always positive has F1 = 2p / (1 + p), the floor
    for thresholds of highest F1.

    Args:
        train: (N, 15) labels of which the constants are computed.
        test: (M, 15) labels to score on.

    Returns:
        images (M), findings_scored (those with positives and negatives in test), the means over
        these of auroc, average_precision, f1 and f1_always_yes, each as macro_… (None if no
        finding can be scored), and prevalence in test by finding (None for M = 0).
    """
    columns = [(known_only(train[:, i])[0], known_only(test[:, i])[0]) for i in range(len(CLASSES))]
    rows = [
        _constant_scores(tested, float(trained.mean(dtype=float)) if len(trained) else 0.0)
        for trained, tested in columns[: len(FINDINGS)]
        if scorable(tested)
    ]
    names = ("auroc", "average_precision", "f1", "f1_always_yes")
    means = pd.DataFrame(rows, columns=names, dtype=float).mean()
    shares = [float(tested.mean(dtype=float)) if len(tested) else None for _, tested in columns]
    return {
        "images": len(test),
        "findings_scored": len(rows),
        **{f"macro_{name}": float(means[name]) if rows else None for name in names},
        "prevalence": dict(zip(FINDINGS, shares, strict=False)),
    }


def _constant_scores(truth: npt.NDArray[np.float32], share: float) -> tuple[float, ...]:
    constant = np.full(len(truth), share)
    return (
        roc_auc_score(truth, constant),
        average_precision_score(truth, constant),
        f1_score(truth, constant > 0.5, zero_division=0),
        f1_score(truth, np.ones(len(truth)), zero_division=0),
    )
