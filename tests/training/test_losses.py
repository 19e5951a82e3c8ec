"""Losses against the formulas in NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import sigmoid_focal_loss

from cxr14.training.losses import TERMS
from tests.training.tiny import loss_of

WEIGHTINGS = ("batch", "class", "none")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def shifted(z):
    return np.maximum(0, sigmoid(z) - 0.05)


FORMULAS = {
    "cross_entropy": (lambda z: -np.log(sigmoid(z)), lambda z: -np.log(1 - sigmoid(z))),
    "hinge": (lambda z: np.maximum(0, 1 - z), lambda z: np.maximum(0, 1 + z)),
    "euclidean": (lambda z: (1 - sigmoid(z)) ** 2, lambda z: sigmoid(z) ** 2),
    "focal": (
        lambda z: -((1 - sigmoid(z)) ** 2) * np.log(sigmoid(z)),
        lambda z: -(sigmoid(z) ** 2) * np.log(1 - sigmoid(z)),
    ),
    "asymmetric": (
        lambda z: -(1 - sigmoid(z)) * np.log(sigmoid(z)),
        lambda z: -(shifted(z) ** 4) * np.log(1 - shifted(z)),
    ),
}


def by_the_paper(name, weighting, logits, labels, train_labels, smoothing=0.0):
    """The loss entry by entry; a weight without entries is never used."""
    positives, negatives = (labels == 1).sum(), (labels == 0).sum()
    total = 0.0
    for i, j in np.ndindex(labels.shape):
        one = labels[i, j] == 1
        target = labels[i, j] * (1 - smoothing) + smoothing / 2
        positive, negative = (formula(logits[i, j]) for formula in FORMULAS[name])
        weight = 1.0
        if weighting == "batch":
            weight = (positives + negatives) / (positives if one else negatives)
        if weighting == "class":
            share = (train_labels[:, j] == 1).mean()
            weight = 1 - share if one else share
        total += weight * (target * positive + (1 - target) * negative)
    return total / labels.size


def example(seed, batch, positives):
    rng = np.random.default_rng(seed)
    labels = (rng.random((batch, 15)) < positives).astype(float)
    return rng.normal(0, 3, (batch, 15)), labels, (rng.random((40, 15)) < 0.2).astype(float)


@settings(deadline=None, max_examples=100)
@given(
    name=st.sampled_from(sorted(TERMS)),
    weighting=st.sampled_from(WEIGHTINGS),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 1000),
    batch=st.integers(1, 5),
    positives=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_every_loss_is_its_formula(name, weighting, smoothing, seed, batch, positives):
    arrays = example(seed, batch, positives)
    expected = by_the_paper(name, weighting, *arrays, smoothing)
    logits, labels, train_labels = map(torch.from_numpy, arrays)
    found = loss_of(name, weighting, train_labels, smoothing)(logits, labels)
    assert float(found) == pytest.approx(expected, abs=1e-6, rel=1e-9)
    single = loss_of(name, weighting, train_labels.float(), smoothing)
    value = single(logits.float(), labels.float())
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(expected, abs=1e-6, rel=2e-6)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("positives", [0.0, 0.3, 1.0])
def test_gradients_are_the_slopes(name, weighting, smoothing, batch, positives):
    """By finite differences. Kinks, at ±1 (hinge), are a tenth away."""
    logits, labels, train_labels = map(torch.from_numpy, example(1, batch, positives))
    near = (logits.abs() - 1).abs() < 0.1
    logits = torch.where(near, logits * 1.3, logits).requires_grad_()
    loss = loss_of(name, weighting, train_labels, smoothing)
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), logits)
    value = loss(logits, labels)
    arrays = (each.detach().numpy() for each in (logits, labels, train_labels))
    expected = by_the_paper(name, weighting, *arrays, smoothing)
    assert value.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_the_surest_answers_have_a_finite_loss_and_gradient(name, logit):
    logits = torch.full((1, 15), logit, requires_grad=True)
    for label, right in ((1.0, logit > 0), (0.0, logit < 0)):
        value = loss_of(name, "none", torch.zeros(4, 15))(logits, torch.full((1, 15), label))
        assert 0 <= value.item() <= 1e-6 if right else 0.99 < value.item() < float("inf")
        (slope,) = torch.autograd.grad(value, logits)
        assert slope.isfinite().all()


@pytest.mark.parametrize(
    ("weighting", "alpha", "share"), [("none", -1, 0.5), ("class", 0.25, 0.75)]
)
def test_focal_loss_is_torchvisions_mean(weighting, alpha, share):
    """Its α, one number, weighs as `class` does where every class has 1 − α positives."""
    logits, labels, _ = map(torch.from_numpy, example(4, 5, 0.3))
    train_labels = torch.zeros(4, 15, dtype=torch.float64)
    train_labels[: int(4 * share)] = 1
    found = loss_of("focal", weighting, train_labels)(logits, labels)
    expected = sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=2, reduction="mean")
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_a_negative_below_the_margin_costs_nothing():
    logits = torch.full((2, 15), float(torch.tensor(0.04).logit()), requires_grad=True)
    value = loss_of("asymmetric", "none", torch.zeros(1, 15))(logits, torch.zeros(2, 15))
    (slope,) = torch.autograd.grad(value, logits)
    assert value.item() == 0
    assert not slope.any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_smoothed_cross_entropy_is_least_where_the_probability_is_the_target(weighting):
    """Whatever the weights. Weights of terms would put a negative's optimum far above s/2."""
    labels = torch.zeros(2, 15)
    labels[0, 0] = 1
    logits = (labels * 0.8 + 0.1).logit().requires_grad_()
    train_labels = torch.zeros(4, 15)
    train_labels[0] = 1
    loss_of("cross_entropy", weighting, train_labels, 0.2)(logits, labels).backward()
    torch.testing.assert_close(logits.grad, torch.zeros(2, 15), atol=1e-6, rtol=0)
