"""metrics/evaluate/B/means.csv: macro, micro and prevalence-weighted means over the findings.

Macro: every finding counts the same. Weighted: as much as it is frequent. Micro: every entry
(image, finding) counts the same, and scores of different findings are ranked against each other.
No Finding is in none of them.
"""

import numpy as np
import pandas as pd

from cxr14.evaluation.bootstrap import interval, without_bias
from cxr14.evaluation.resampled import DECIDED, ECE, MEASURES, Resampled
from cxr14.findings import NO_FINDING
from cxr14.ranking import Floats

COLUMNS = ["mean", "value", "low", "high", "findings", "left_out", "reason"]


def mean_rows(by_finding: pd.DataFrame, scores: Resampled) -> pd.DataFrame:
    """Lay out one row per kind of mean and measure, named as in metrics/evaluate/B.json.

    A mean is over the findings that the test images themselves can score (``findings``); a resample
    counts only if it can score all of them. A micro mean is over the entries of all findings (of
    decisions: those that have a threshold), also of one that test holds no positives of. Brier
    scores and ECE, before and after calibration, are over the same findings: those that validation
    could calibrate.

    Args:
        by_finding: a row per class, see :func:`cxr14.evaluation.by_finding.finding_rows`.
        scores: of the same classes.

    Returns:
        The columns COLUMNS.
    """
    findings = (by_finding["finding"] != NO_FINDING).to_numpy(bool)
    decided = by_finding["threshold"].notna().to_numpy(bool)
    calibrated = by_finding["ece_platt"].notna().to_numpy(bool)
    rows = []
    for measure in MEASURES:
        values = scores.by_class[measure]
        counted = findings & ~np.isnan(values[0])
        if measure not in scores.pooled:
            counted &= calibrated
        own, shares = values[:, counted], scores.positives[:, counted]
        means = {
            "macro": _weighted_mean(own, np.ones_like(shares)),
            "micro": scores.pooled.get(measure),
            "weighted": _weighted_mean(own, shares),
        }
        pooled = findings & (decided if measure in DECIDED else True)
        rows += [
            _row(f"{kind}_{measure}", one, int((pooled if kind == "micro" else counted).sum()))
            for kind, one in means.items()
            if one is not None
        ]
    numbers = dict.fromkeys(("value", "low", "high", "left_out"), np.float64)
    return pd.DataFrame(rows, columns=COLUMNS).astype(numbers)


def _weighted_mean(values: Floats, shares: Floats) -> Floats:
    """Mean of (R, F) by (R, F) shares: (R,), NaN where any value is, or where there is none."""
    whole = shares.sum(axis=1)
    return np.where(whole > 0, (values * shares).sum(axis=1) / np.maximum(whole, 1), np.nan)


def _row(mean: str, values: Floats, findings: int) -> dict[str, object]:
    """Lay out one mean: of the images themselves (values[0]) and of the resamples."""
    low, high, left_out = interval(without_bias(values) if mean.endswith(ECE) else values[1:])
    known, resamples = bool(np.isfinite(values[0])), len(values) > 1
    reason = None
    if not known:
        reason = "no finding can be scored"
    elif not resamples:
        reason = "all images are of one patient: nothing to resample"
    elif low is None:
        reason = f"no interval: {100 * left_out:.1f} % of resamples leave a finding unscored"
    return {
        "mean": mean,
        "value": float(values[0]) if known else None,
        "low": low if known else None,
        "high": high if known else None,
        "findings": findings,
        "left_out": left_out if known and resamples else None,
        "reason": reason,
    }
