"""A network of one layer, sixteen images and a recipe, for the tests of the loop."""

import numpy as np
import torch
from torch import nn

from cxr14.training.augment import Augment
from cxr14.training.device import Compute
from cxr14.training.loop import Recipe, train
from cxr14.training.losses import make_loss
from cxr14.training.parts import Part, load_part

CPU = Compute("cpu", "fp32", channels_last=False)
RECIPE = Recipe(
    input_size=8,
    epochs=8,
    batch_size=8,
    optimizer="adamw",
    learning_rate=0.01,
    weight_decay=0.0,
    schedule="cosine",
    warmup_fraction=0.1,
    augment=Augment(),
    seed=3,
)


def tiny() -> nn.Module:
    """Flattened pixels to fifteen logits, the same start every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 15))


def part(seed: int = 1, count: int = 16) -> Part:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 8, 8), dtype=np.uint8)
    labels = np.float32(rng.random((count, 15)) < 0.5)
    return load_part(images, np.arange(count), labels, 8, "cpu")


def fit(network, recipe=RECIPE, val=None, rows=None, on_step=lambda: None):
    own = part()
    loss = make_loss("cross_entropy", "none", own.labels)
    seen = [] if rows is None else rows
    return train(network, own, val or own, loss, recipe, CPU, seen.append, on_step)
