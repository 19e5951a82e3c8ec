"""Synthetic predictions and labels, for the tests of the comparison."""

import numpy as np
from scipy.special import expit

from ablation.collect import GroundTruth
from cxr14.evaluation.measures import Predictions
from cxr14.labels import CLASSES, FINDINGS
from tests.sources import PHANTOM

IMAGES = 120


def truth(seed=0):
    """A hundred and twenty images of forty patients; three in ten have a finding."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((IMAGES, 15)) < 0.3).astype(np.float32)
    rare = dict.fromkeys(FINDINGS[-5:], 0.01)
    return GroundTruth(labels, rng.integers(0, 40, IMAGES), rare, PHANTOM)


def network(labels, noise, seed):
    """Logits with one decimal, so that some are equal; less noise gives better ones."""
    rng = np.random.default_rng(seed)
    logits = np.round(2 * labels - 1 + noise * rng.normal(size=labels.shape), 1)
    logits = logits.astype(np.float32)
    decision = {"thresholds": dict.fromkeys(CLASSES, 0.5), "platt": dict.fromkeys(CLASSES)}
    return Predictions(CLASSES, logits, expit(logits), decision | {"reasons": {}})
