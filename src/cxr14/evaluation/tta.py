"""Test-time augmentation (TTA): mean probability over views, compared with the image alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from cxr14.evaluation.compare import MEAN_MEASURES, difference_table
from cxr14.evaluation.evaluate import Scores, decide, score, score_logits
from cxr14.evaluation.measures import TTA_DIFFERENCE, WITHOUT_TTA, Predictions
from cxr14.evaluation.predictions import Logits, check_finite, logit_of_mean
from cxr14.evaluation.tables import MEAN_COLUMNS
from cxr14.labels import label_matrix
from cxr14.metrics.bootstrap import SEED, draw_replicates


def score_views(
    name: str,
    listed: pd.DataFrame,
    logits: Logits,
    classes: Sequence[str],
    records: pd.DataFrame,
    facts: Mapping[str, int] | None = None,
) -> Scores:
    """Score the mean probability over the views, as :func:`score_logits` scores a network.

    Thresholds and calibration are chosen on the means of validation.

    Args:
        name: of the network.
        listed: image and split of the M held-out images.
        logits: (V, M, C), of the images themselves first.
        classes: C names.
        records: patients and labels.
        facts: further numbers for metrics/evaluate/NAME.json.

    Returns:
        All scores; their means include the rows of :func:`tta_rows`.

    Raises:
        UserError: a logit is not finite.
    """
    mean = logit_of_mean(logits)
    check_finite(listed, mean)
    rows = tta_rows(name, listed, logits[0], mean, classes, records)
    return score_logits(name, listed, mean, classes, records, tta=rows, facts=facts)


def tta_rows(
    name: str,
    listed: pd.DataFrame,
    alone: Logits,
    mean: Logits,
    classes: Sequence[str],
    records: pd.DataFrame,
) -> pd.DataFrame:
    """Compare the means over findings with and without TTA on the same replicates.

    Both have thresholds of their own, chosen on validation.

    Args:
        name: of the network.
        listed: image and split of the M held-out images.
        alone: (M, C), of the images themselves.
        mean: (M, C), of the mean probability over the views.
        classes: C names.
        records: patients and labels.

    Returns:
        Rows of means.csv: each compared mean without TTA, then each with TTA minus without.
    """
    held_out = records.set_index("image").loc[listed["image"]].reset_index()
    labels, patients = label_matrix(held_out, classes), held_out["patient"].to_numpy()
    splits = listed["split"].to_numpy(str)
    val, test = splits == "val", splits == "test"
    arrays = labels, alone, expit(alone), patients
    decision, without = score(name, splits, *arrays, np.random.default_rng(SEED), classes)
    decisions = {
        "with": decide(name, labels[val], mean[val], expit(mean[val]), classes),
        "without": decision,
    }
    networks = {
        kind: Predictions(tuple(classes), logits[test], expit(logits[test]), decisions[kind])
        for kind, logits in (("with", mean), ("without", alone))
    }
    replicates = draw_replicates(patients[test], np.random.default_rng(SEED))
    paired = difference_table(held_out[test], networks, replicates)
    rows = [
        without.means.set_index("mean").loc[[*MEAN_MEASURES]].reset_index(),
        paired.rename(columns={"measure": "mean", "difference": "value"}).assign(chance=np.nan),
    ]
    for table, suffix in zip(rows, (WITHOUT_TTA, TTA_DIFFERENCE), strict=True):
        table["mean"] += suffix
    return pd.concat([table[MEAN_COLUMNS] for table in rows], ignore_index=True)
