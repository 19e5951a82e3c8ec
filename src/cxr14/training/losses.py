"""Losses of Wang et al. 2017 (section 4.2), each with three weightings.

Every loss is the mean over the batch's B × C entries of

    w_P · positive(z)  where the label is 1,   w_N · negative(z)  where it is 0.

The paper writes a sum; the mean keeps learning rates comparable across batch sizes. Weightings
differ in scale, so losses of different weightings cannot be compared: the mean weight is 2 for
`batch` (if both labels occur), at most 1 for `class`, and 1 for `none`.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Terms = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy_terms(logits: Tensor) -> Terms:
    """Return −log σ(z) and −log(1 − σ(z)), both stable for large |z|."""
    return F.softplus(-logits), F.softplus(logits)


def hinge_terms(logits: Tensor) -> Terms:
    """Return max(0, 1 − z) and max(0, 1 + z)."""
    return F.relu(1 - logits), F.relu(1 + logits)


def euclidean_terms(logits: Tensor) -> Terms:
    """Return (1 − σ(z))² and σ(z)²."""
    probability = logits.sigmoid()
    return (1 - probability).square(), probability.square()


TERMS: dict[str, Callable[[Tensor], Terms]] = {
    "cross_entropy": cross_entropy_terms,
    "hinge": hinge_terms,
    "euclidean": euclidean_terms,
}


def batch_weights(labels: Tensor) -> Terms:
    """Return w_P = (|P|+|N|)/|P| and w_N = (|P|+|N|)/|N| over all entries of the batch (B, C).

    Wang et al. 2017, equation 2. Without ones (or zeros) the weight has nothing to multiply; it
    is then |P|+|N| instead of infinite, so that the empty term contributes 0.
    """
    positives = labels.sum()
    negatives = labels.numel() - positives
    return labels.numel() / positives.clamp(min=1), labels.numel() / negatives.clamp(min=1)


def class_weights(train_labels: Tensor) -> Terms:
    """Return w₊ = N/(P+N) and w₋ = P/(P+N) per class (C,), counted on the train part (N, C).

    Rajpurkar et al. 2018 (CheXNeXt), appendix.
    """
    share = train_labels.mean(dim=0)
    return 1 - share, share


def make_loss(name: str, weighting: str, train_labels: Tensor) -> Loss:
    """Return a function of logits (B, C) and labels (B, C) in {0, 1} that gives a scalar.

    Args:
        name: cross_entropy, hinge or euclidean.
        weighting: batch, class or none.
        train_labels: float (N, C), of the whole train part; used by `class`.

    Raises:
        ValueError: an unknown name or weighting.
    """
    if name not in TERMS:
        raise ValueError(f"loss.name is {name!r}; allowed: {', '.join(TERMS)}")
    if weighting not in ("batch", "class", "none"):
        raise ValueError(f"loss.weighting is {weighting!r}; allowed: batch, class, none")
    terms, fixed = TERMS[name], class_weights(train_labels)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        positive, negative = terms(logits)
        if weighting != "none":
            weight_p, weight_n = batch_weights(labels) if weighting == "batch" else fixed
            positive, negative = weight_p * positive, weight_n * negative
        return (labels * positive + (1 - labels) * negative).mean()

    return loss
