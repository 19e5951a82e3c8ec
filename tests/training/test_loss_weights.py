"""Weights of positives and negatives, counted alone and over several processes."""

import numpy as np
import pytest
import torch

from cxr14.training.losses import TERMS, batch_weights, class_weights
from tests.training.tiny import loss_of

WEIGHTINGS = ("batch", "class", "none")


def example(seed, positives):
    """Logits of sixteen images, their labels, and those of a train part."""
    rng = np.random.default_rng(seed)
    labels = rng.random((16, 15)) < positives
    arrays = (rng.normal(0, 3, (16, 15)), labels, rng.random((40, 15)) < 0.2)
    return tuple(torch.from_numpy(array).double() for array in arrays)


@pytest.mark.parametrize("name", ["cross_entropy", "hinge", "euclidean"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_without_smoothing_and_alone_not_a_bit_has_changed(name, weighting):
    """The expression of the first release: what it trained, this trains."""
    for positives in (0.0, 0.01, 0.1, 0.3, 1.0):
        logits, labels, train_labels = (each.float() for each in example(2, positives))
        positive, negative = TERMS[name](logits)
        if weighting == "batch":
            ones = labels.sum()
            positive = labels.numel() / ones.clamp(min=1) * positive
            negative = labels.numel() / (labels.numel() - ones).clamp(min=1) * negative
        if weighting == "class":
            weight_p, weight_n = class_weights(train_labels)
            positive, negative = weight_p * positive, weight_n * negative
        before = (labels * positive + (1 - labels) * negative).mean()
        assert torch.equal(loss_of(name, weighting, train_labels)(logits, labels), before)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("positives", [0.0, 0.2])
def test_processes_that_count_together_average_to_the_loss_of_the_whole_batch(smoothing, positives):
    """The halves differ in positives: with the weights of a half each, the mean is another."""
    logits, labels, train_labels = example(3, positives)
    labels[:8] = 0
    logits.requires_grad_()
    loss = loss_of("cross_entropy", "batch", train_labels, smoothing)
    whole = loss(logits, labels)
    sums = torch.stack([labels.sum(), torch.tensor(float(labels.numel()))])
    halves = list(zip(logits.split(8), labels.split(8), strict=True))
    together = torch.stack([loss(z, y, count=lambda _: sums) for z, y in halves]).mean()
    assert together.item() == pytest.approx(whole.item(), rel=1e-12)
    slopes = [torch.autograd.grad(value, logits)[0] for value in (whole, together)]
    torch.testing.assert_close(*slopes)
    apart = torch.stack([loss(z, y) for z, y in halves]).mean()
    assert (apart.item() != pytest.approx(whole.item(), rel=1e-3)) == (positives > 0)


def test_weights_of_a_batch_by_hand():
    """Three ones among thirty entries: 30/3 and 30/27; their mean over the entries is 2."""
    labels = torch.zeros(2, 15)
    labels[0, :3] = 1
    weight_p, weight_n = batch_weights(labels)
    assert (float(weight_p), float(weight_n)) == (10, pytest.approx(30 / 27))
    assert float((labels * weight_p + (1 - labels) * weight_n).mean()) == pytest.approx(2)


def test_weights_of_a_class_by_hand():
    """One positive in four: w₊ = 3/4, w₋ = 1/4; a class without positives has w₊ = 1, w₋ = 0."""
    labels = torch.zeros(4, 15)
    labels[0, 0] = 1
    weight_p, weight_n = class_weights(labels)
    assert weight_p[:2].tolist() == [0.75, 1]
    assert weight_n[:2].tolist() == [0.25, 0]
