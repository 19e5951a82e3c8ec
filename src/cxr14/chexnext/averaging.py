"""The average of several networks' probabilities, and how far they lie apart."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit, logsumexp

Logits = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


def mean_probability(logits: Sequence[Logits]) -> Floats:
    """Mean probability of K networks: K arrays (N, C) of logits to float64 (N, C)."""
    mean: Floats = np.mean([expit(own.astype(np.float64)) for own in logits], axis=0)
    return mean


def logit_of_mean(logits: Sequence[Logits]) -> Logits:
    """Logit of the mean probability of K networks, float32 (N, C).

    log(p / (1 − p)) by sums of logarithms, so that no probability is rounded to 0 or 1. Platt
    scaling of an ensemble is fitted on it as on the logits of a single network.
    """
    wide = np.stack(logits).astype(np.float64)  # (K, N, C)
    odds = logsumexp(log_expit(wide), axis=0) - logsumexp(log_expit(-wide), axis=0)
    return np.asarray(odds, np.float32)


def spread(logits: Sequence[Logits]) -> npt.NDArray[np.float32]:
    """Return the standard deviation (by K) of K networks' probabilities, float32 (N, C).

    The disagreement of a deep ensemble (Lakshminarayanan et al. 2017): 0 where all say the same,
    at most .5.
    """
    return np.asarray(np.std([expit(own.astype(np.float64)) for own in logits], axis=0), np.float32)
