"""Unknown labels (-1) in the losses: not in the mean, and in no weight."""

from functools import partial

import pytest
import torch

from cxr14.config.blocks import LossParams
from cxr14.training.losses import TERMS, class_weights, make_loss

WEIGHTINGS = ("batch", "class", "none")


def drawn(unknown: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels (12, 3), a share of the labels unknown."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(12, 3, generator=generator) < 0.4).float()
    labels[torch.rand(12, 3, generator=generator) < unknown] = -1
    return torch.randn(12, 3, generator=generator), labels


def loss_params(name: str, weighting: str) -> LossParams:
    return LossParams.model_validate({"name": name, "weighting": weighting, "smoothing": 0.1})


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_loss_and_its_gradient_are_those_of_the_known_entries(
    name: str, weighting: str
) -> None:
    logits, labels = drawn(0.3)
    logits.requires_grad_()
    masked = make_loss(loss_params(name, weighting), labels, masked=True)(logits, labels)
    masked.backward()
    # The known entries as a batch of one class each, with the weights of the whole batch.
    known = labels >= 0
    entries, targets = logits.detach()[known], labels[known]
    positive, negative = TERMS[name](entries)
    positive, negative = 0.95 * positive + 0.05 * negative, 0.95 * negative + 0.05 * positive
    weight_p, weight_n = torch.tensor(1.0), torch.tensor(1.0)
    if weighting == "batch":
        weight_p, weight_n = len(targets) / targets.sum(), len(targets) / (1 - targets).sum()
    if weighting == "class":
        share = torch.stack([c[c >= 0].mean() for c in labels.T]).expand(12, 3)[known]
        weight_p, weight_n = 1 - share, share
    expected = (targets * weight_p * positive + (1 - targets) * weight_n * negative).mean()
    torch.testing.assert_close(masked, expected)
    assert logits.grad is not None
    assert (logits.grad[~known] == 0).all()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_without_unknown_labels_both_forms_agree(weighting: str) -> None:
    logits, labels = drawn(0.0)
    params = loss_params("cross_entropy", weighting)
    plain = make_loss(params, labels)(logits, labels)
    torch.testing.assert_close(make_loss(params, labels, masked=True)(logits, labels), plain)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_processes_with_unlike_numbers_of_known_labels_share_one_mean(weighting: str) -> None:
    logits, labels = drawn(0.5, seed=3)
    labels[:5] = -1
    loss = make_loss(loss_params("cross_entropy", weighting), labels, masked=True)
    halves = list(zip(logits.split(6), labels.split(6), strict=True))
    counts: list[list[torch.Tensor]] = [[], []]
    for (part, targets), mine in zip(halves, counts, strict=True):
        loss(part, targets, partial(record, mine))
    sums = [torch.stack(both).sum(dim=0) for both in zip(*counts, strict=True)]
    losses = [loss(part, targets, partial(replay, [*sums])) for part, targets in halves]
    torch.testing.assert_close(torch.stack(losses).mean(), loss(logits, labels))


def record(counts: list[torch.Tensor], count: torch.Tensor) -> torch.Tensor:
    counts.append(count)
    return count


def replay(sums: list[torch.Tensor], count: torch.Tensor) -> torch.Tensor:
    return sums.pop(0)


def test_a_batch_without_known_labels_has_a_loss_of_zero() -> None:
    logits = torch.randn(4, 2)
    labels = torch.full((4, 2), -1.0)
    loss = make_loss(loss_params("cross_entropy", "batch"), labels, masked=True)
    assert loss(logits, labels) == 0
    assert class_weights(labels, masked=True)[1].tolist() == [0, 0]
