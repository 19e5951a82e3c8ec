"""Scores on the validation part."""

import numpy as np
import pytest
import torch
from torch import nn

from cxr14.training.dataset import SplitData, load_split
from cxr14.training.distributed import Processes
from cxr14.training.validation import predict, validate
from tests.training.tiny import CPU, loss_of, part, tiny


def large_part():
    images = np.random.default_rng(1).integers(0, 256, (50, 16, 16), dtype=np.uint8)
    labels = np.float32(np.random.default_rng(2).random((50, 15)) < 0.5)
    return load_split(images, np.arange(50), labels, 16, "cpu")


def test_images_of_the_cache_size_and_any_batch_give_the_same_score():
    val = large_part()
    loss = loss_of("cross_entropy", "batch", val.labels)
    found = [validate(tiny(), val, loss, 8, size, CPU, Processes()) for size in (2, 5, 50)]
    assert len({one.macro_auroc for one in found}) == 1
    assert [one.loss for one in found] == pytest.approx([found[0].loss] * 3, rel=1e-5)


def test_the_loss_is_that_of_all_images_as_one_batch():
    own = part()
    loss = loss_of("cross_entropy", "batch", own.labels)
    logits = predict(tiny(), own, 8, 16, CPU, Processes())
    found = validate(tiny(), own, loss, 8, 4, CPU, Processes()).loss
    assert found == pytest.approx(float(loss(logits, own.labels)), rel=1e-6)


def test_three_processes_fill_every_row_once():
    """Summed as all-reduce would; 50 images are not a multiple of 3."""
    val = large_part()

    class Alone(Processes):
        def sum(self, values):
            return values

    shares = [predict(tiny(), val, 8, 4, CPU, Alone(rank, 3)) for rank in range(3)]
    filled = torch.stack([share.abs().sum(1) > 0 for share in shares])
    assert filled.sum(0).tolist() == [1] * 50
    assert torch.allclose(sum(shares), predict(tiny(), val, 8, 7, CPU, Processes()), atol=1e-6)


def test_the_labels_of_no_finding_choose_no_epoch():
    own, classes = part(), ("Mass", "Nodule", "No Finding")
    labels = own.labels[:, :3]
    turned = labels.clone()
    turned[:, 2] = 1 - labels[:, 2]
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    loss = loss_of("cross_entropy", "none", labels)
    scores = {
        validate(
            network, SplitData(own.images, y, classes), loss, 8, 8, CPU, Processes()
        ).macro_auroc
        for y in (labels, turned)
    }
    assert len(scores) == 1
