"""AUROC and average precision of one finding with weights by image."""

import numpy as np

from cxr14.metrics.auroc import weighted_auroc_and_ap


def areas(labels, scores, weights):
    """Two (R,) for weights (R, N)."""
    columns = labels[:, None], scores[:, None]
    values = weighted_auroc_and_ap(*columns, np.arange(len(labels)), np.asarray(weights).T)
    return tuple(column[:, 0] for column in values)
