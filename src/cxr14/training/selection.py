"""The score by which the best epoch is chosen: macro AUROC on validation."""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from cxr14.findings import FINDINGS


def auroc(labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.float32]) -> float | None:
    """Return the area under the ROC curve by ranks (Mann–Whitney), ties counted half.

    Args:
        labels: bool (N,).
        scores: float (N,).

    Returns:
        0..1, or None where one of the two labels does not occur.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    ranks = rankdata(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def macro_auroc(
    labels: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]
) -> tuple[float | None, int]:
    """Return the mean AUROC over the fourteen findings, and over how many it is.

    Args:
        labels: (N, 15) in {0, 1}, in the order of CLASSES; No Finding is left out.
        scores: (N, 15).
    """
    areas = [auroc(labels[:, f] > 0, scores[:, f]) for f in range(len(FINDINGS))]
    scored = [area for area in areas if area is not None]
    return (float(np.mean(scored)) if scored else None), len(scored)
