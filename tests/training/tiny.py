"""A small network, sixteen images and a recipe, for the tests of the loop."""

import numpy as np
import torch
from torch import nn

from cxr14.config.blocks import AugmentParams, LossParams, Recipe
from cxr14.models.inference import Compute
from cxr14.training.dataset import SplitData, load_split, steps_per_epoch
from cxr14.training.engine import Loop, Session, optimizer_steps
from cxr14.training.losses import Loss, make_loss

CPU = Compute("cpu", "fp32", channels_last=False)
UNCHANGED = AugmentParams(flip=0, rotation=0, scale=0, shift=0, brightness=0)
CHANGES = AugmentParams(flip=0.5, rotation=10, scale=0.1, shift=0.1, brightness=0.1)
RECIPE = Recipe.model_construct(  # smaller than params.yaml allows
    input_size=8,
    epochs=8,
    batch_size=8,
    optimizer="adamw",
    learning_rate=0.01,
    backbone_rate=1.0,
    weight_decay=0.0,
    schedule="cosine",
    cycles=1,
    warmup_fraction=0.1,
    ema=0.0,
    augment=UNCHANGED,
    device="cpu",
    precision="fp32",
    compile=False,
    processes=1,
    seed=3,
)


def replace(params, **changes):
    """A copy of a block with other values, which are not checked."""
    return params.model_copy(update=changes)


def loss_of(name, weighting, train_labels, smoothing=0.0) -> Loss:
    params = LossParams(name=name, weighting=weighting, smoothing=smoothing)
    return make_loss(params, train_labels)


class Tiny(nn.Module):
    """Pixels to fifteen logits, with batch normalisation and dropout, and a part called head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 12), nn.BatchNorm1d(12))
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(12, 15))

    def forward(self, images):
        return self.head(self.features(images))


def tiny() -> Tiny:
    """The same start every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Tiny()


def part(seed: int = 1, count: int = 16) -> SplitData:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 8, 8), dtype=np.uint8)
    labels = np.float32(rng.random((count, 15)) < 0.5)
    return load_split(images, np.arange(count), labels, 8, "cpu")


def make_session(network, recipe=RECIPE, count: int = 16) -> Session:
    steps = optimizer_steps(steps_per_epoch(count, recipe.batch_size), recipe.accumulate)
    return Session(network, recipe, CPU, recipe.epochs * steps)


def make_loop(train=None, val=None, weighting="none", **rest) -> Loop:
    train = train or part()
    loss = loss_of("cross_entropy", weighting, train.labels)
    return Loop(train, val or train, loss, **rest)


def fit(network, recipe=RECIPE, **changes):
    """Train from the start; return the progress."""
    loop = make_loop(**changes)
    return loop.run(make_session(network, recipe, len(loop.train_split.labels)))
