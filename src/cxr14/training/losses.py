"""Losses of Wang et al. 2017 (section 4.2) and two later ones, each with three weightings.

Every loss is the mean over the batch's B × C entries (those whose label is known) of

    w_P · positive(z)  where the label is 1,   w_N · negative(z)  where it is 0.

The paper writes a sum; the mean keeps learning rates comparable across batch sizes. Weightings
differ in scale, so losses of different weightings cannot be compared: the mean weight is 2 for
`batch` (if both labels occur), at most 1 for `class`, and 1 for `none`. Terms differ in scale too:
those of focal and asymmetric are at most those of cross entropy.
"""

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from cxr14.config.blocks import LossParams

Terms = tuple[Tensor, Tensor]
Count = Callable[[Tensor], Tensor]

FOCAL_GAMMA = 2
ASYMMETRIC_GAMMA_NEGATIVE = 4  # 1 for positives
ASYMMETRIC_MARGIN = 0.05


class Loss(Protocol):
    """A loss of a batch, as :func:`make_loss` returns it."""

    def __call__(self, logits: Tensor, labels: Tensor, count: Count = ...) -> Tensor:
        """Return the mean over the entries here, a scalar.

        Args:
            logits: (B, C).
            labels: (B, C) of 0 and 1, or below 0 where unknown.
            count: sums a tensor over all processes that share a batch, for the weighting `batch`.
                Each process returns the mean over its entries with the weights of the whole batch.
                For equal B, the mean of these losses, and of their gradients (by DDP), is that of
                the whole batch.
        """


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


def focal_terms(logits: Tensor) -> Terms:
    """Return cross entropy's terms times (1 − p)² and p², p = σ(z) (Lin et al. 2017, equation 4).

    The paper's α weights positives and negatives; here the weighting does.
    """
    positive, negative = cross_entropy_terms(logits)
    miss, hit = logits.neg().sigmoid(), logits.sigmoid()
    return miss.pow(FOCAL_GAMMA) * positive, hit.pow(FOCAL_GAMMA) * negative


def asymmetric_terms(logits: Tensor) -> Terms:
    """Return −(1 − p) log p and −q⁴ log(1 − q), q = max(0, σ(z) − .05) (Ridnik et al. 2021).

    The term of a negative is 0 below a probability of .05, and at most 2.44.
    """
    shifted = F.relu(logits.sigmoid() - ASYMMETRIC_MARGIN)
    positive = logits.neg().sigmoid() * F.softplus(-logits)
    return positive, shifted.pow(ASYMMETRIC_GAMMA_NEGATIVE) * -torch.log1p(-shifted)


TERMS: dict[str, Callable[[Tensor], Terms]] = {
    "cross_entropy": cross_entropy_terms,
    "hinge": hinge_terms,
    "euclidean": euclidean_terms,
    "focal": focal_terms,
    "asymmetric": asymmetric_terms,
}


def smoothed(terms: Terms, smoothing: float) -> Terms:
    """Mix the terms (B, C), so that the target is 1 − s/2 for a label of 1, s/2 for one of 0.

    An entry keeps the weight of its label. (With a weight per term, the weight of rare positives
    would raise the loss of all negatives.)
    """
    if not smoothing:
        return terms
    same, opposite = 1 - smoothing / 2, smoothing / 2
    positive, negative = terms
    return same * positive + opposite * negative, same * negative + opposite * positive


def local_counts(counts: Tensor) -> Tensor:
    """Return the counts of this process, unchanged."""
    return counts


def batch_weights(
    labels: Tensor, count: Count = local_counts, known: Tensor | None = None
) -> Terms:
    """Return w_P = (|P|+|N|)/|P| and w_N = (|P|+|N|)/|N| over all entries of the batch (B, C).

    Wang et al. 2017, equation 2. Without ones (or zeros) the weight is |P|+|N| instead of
    infinite, so that the empty term contributes 0.

    Args:
        labels: (B, C) of 0 and 1, of this process.
        count: sums |P| and |P|+|N| of this process, (2,), over all processes.
        known: (B, C), 1 where the label counts, else 0; None: all count.
    """
    entries = labels.new_full((), labels.numel()) if known is None else known.sum()
    positives, entries = count(torch.stack([labels.sum(), entries]))
    # entries / counted rounds differently, and every result in the docs would change.
    per_positive, per_negative = (
        counted.clamp(min=1).reciprocal() for counted in (positives, entries - positives)
    )
    return entries * per_positive, entries * per_negative


def class_weights(train_labels: Tensor, masked: bool = False) -> Terms:
    """Return w₊ = N/(P+N) and w₋ = P/(P+N) per class (C,), counted on the train split (N, C).

    Rajpurkar et al. 2018 (CheXNeXt), appendix.

    Args:
        train_labels: float (N, C) of 0 and 1.
        masked: whether labels may be unknown (below 0), which are not counted.
    """
    if not masked:
        share = train_labels.mean(dim=0)
    else:
        known = (train_labels >= 0).sum(dim=0)
        share = train_labels.clamp(min=0).sum(dim=0) / known.clamp(min=1)
    return 1 - share, share


def masked_mean(entries: Tensor, known: Tensor, count: Count = local_counts) -> Tensor:
    """Return the mean of the known entries (B, C), 0 if there is none.

    With several processes the mean of their results is the mean over the whole batch.
    """
    total, processes = count(torch.stack([known.sum(), known.new_ones(())]))
    mean: Tensor = (entries * known).sum() * processes / total.clamp(min=1)
    return mean


def make_loss(params: LossParams, train_labels: Tensor, masked: bool = False) -> Loss:
    """Return a loss of logits and labels.

    Args:
        params: the block `loss` of params.yaml. Weights count labels, not smoothed targets.
        train_labels: float (N, C), of the whole train split; used by weighting `class`.
        masked: whether labels may be unknown (below 0): neither the mean nor a weight counts them.
            Without, no operation is added.
    """
    terms, fixed = TERMS[params.name], class_weights(train_labels, masked)

    def loss(logits: Tensor, labels: Tensor, count: Count = local_counts) -> Tensor:
        positive, negative = smoothed(terms(logits), params.smoothing)
        known = (labels >= 0).to(labels.dtype) if masked else None
        labels = labels.clamp(min=0) if masked else labels
        if params.weighting != "none":
            by_batch = params.weighting == "batch"
            weight_p, weight_n = batch_weights(labels, count, known) if by_batch else fixed
            positive, negative = weight_p * positive, weight_n * negative
        entries = labels * positive + (1 - labels) * negative
        return entries.mean() if known is None else masked_mean(entries, known, count)

    return loss
