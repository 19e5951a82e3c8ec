"""A made-up study: one part lacks a finding here, the other there."""

import numpy as np
import pytest
from scipy.special import expit

from cxr14.evaluation.evaluate import score
from tests.evaluation.answers import FIBROSIS, HERNIA, MASS


@pytest.fixture(scope="module")
def study():
    generator = np.random.default_rng(0)
    parts = np.repeat(["val", "test"], [60, 90])
    labels = (generator.random((150, 15)) < 0.4).astype(np.float32)
    labels[:, HERNIA] = 0
    labels[parts == "val", MASS] = 0
    labels[parts == "test", FIBROSIS] = 1
    logits = (labels + generator.normal(0, 1, (150, 15))).astype(np.float32)
    return parts, labels, logits, expit(logits), np.arange(150) // 2


@pytest.fixture(scope="module")
def scored(study):
    return score("alexnet", *study, np.random.default_rng(0))
