"""Losses against the formulas in NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr14.training.losses import TERMS, batch_weights, class_weights, make_loss

WEIGHTINGS = ("batch", "class", "none")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


FORMULAS = {
    "cross_entropy": (lambda z: -np.log(sigmoid(z)), lambda z: -np.log(1 - sigmoid(z))),
    "hinge": (lambda z: np.maximum(0, 1 - z), lambda z: np.maximum(0, 1 + z)),
    "euclidean": (lambda z: (1 - sigmoid(z)) ** 2, lambda z: sigmoid(z) ** 2),
}


def by_the_paper(name, weighting, logits, labels, train_labels):
    """The loss entry by entry; a weight without entries is never used."""
    positives, negatives = (labels == 1).sum(), (labels == 0).sum()
    total = 0.0
    for i, j in np.ndindex(labels.shape):
        one = labels[i, j] == 1
        term = FORMULAS[name][0 if one else 1](logits[i, j])
        weight = 1.0
        if weighting == "batch":
            weight = (positives + negatives) / (positives if one else negatives)
        if weighting == "class":
            share = (train_labels[:, j] == 1).mean()
            weight = 1 - share if one else share
        total += weight * term
    return total / labels.size


def example(seed, batch, positives):
    rng = np.random.default_rng(seed)
    labels = (rng.random((batch, 15)) < positives).astype(float)
    return rng.normal(0, 3, (batch, 15)), labels, (rng.random((40, 15)) < 0.2).astype(float)


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(TERMS)),
    weighting=st.sampled_from(WEIGHTINGS),
    seed=st.integers(0, 1000),
    batch=st.integers(1, 5),
    positives=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_every_loss_is_its_formula(name, weighting, seed, batch, positives):
    arrays = example(seed, batch, positives)
    expected = by_the_paper(name, weighting, *arrays)
    logits, labels, train_labels = map(torch.from_numpy, arrays)
    found = make_loss(name, weighting, train_labels)(logits, labels)
    assert float(found) == pytest.approx(expected, abs=1e-6, rel=1e-9)
    single = make_loss(name, weighting, train_labels.float())(logits.float(), labels.float())
    assert single.dtype == torch.float32
    assert float(single) == pytest.approx(expected, abs=1e-6, rel=2e-6)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_batch_of_one_label_only_has_a_finite_loss_and_gradient(name, weighting, batch, label):
    logits, _, train_labels = map(torch.from_numpy, example(1, batch, 0.5))
    logits.requires_grad_()
    labels = torch.full_like(logits, label).detach()
    value = make_loss(name, weighting, train_labels)(logits, labels)
    expected = by_the_paper(
        name, weighting, logits.detach().numpy(), labels.numpy(), train_labels.numpy()
    )
    assert value.item() == pytest.approx(expected, abs=1e-6)
    value.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", TERMS)
def test_sure_and_wrong_is_dear_and_finite(name):
    logits = torch.tensor([[1000.0] * 15])
    loss = make_loss(name, "none", torch.rand(4, 15).round())
    right, wrong = loss(logits, torch.ones(1, 15)), loss(-logits, torch.ones(1, 15))
    assert float(right) == pytest.approx(0, abs=1e-6)
    assert 0.99 < float(wrong) < float("inf")


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


@pytest.mark.parametrize(
    ("name", "weighting", "told"),
    [
        ("focal", "none", r"loss\.name is 'focal'; allowed: cross_entropy, hinge, euclidean"),
        ("hinge", "sqrt", r"loss\.weighting is 'sqrt'; allowed: batch, class, none"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(name, weighting, told):
    with pytest.raises(ValueError, match=told):
        make_loss(name, weighting, torch.zeros(1, 15))
