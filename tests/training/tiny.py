"""A small network, sixteen images and a recipe, for the tests of the loop."""

import numpy as np
import torch
from torch import nn

from cxr14.models.inference import Compute
from cxr14.training.augment import Augment
from cxr14.training.dataset import SplitData, load_split, steps_per_epoch
from cxr14.training.distributed import Processes, StopRequest
from cxr14.training.engine import Loop, Session
from cxr14.training.losses import make_loss
from cxr14.training.optim import Recipe

CPU = Compute("cpu", "fp32", channels_last=False)
RECIPE = Recipe(
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
    augment=Augment(),
    compile=False,
    seed=3,
)
CHANGES = Augment(flip=0.5, rotation=10, scale=0.1, shift=0.1, brightness=0.1)


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
    steps = recipe.epochs * steps_per_epoch(count, recipe.batch_size)
    return Session(network, recipe, CPU, steps)


def make_loop(
    recipe=RECIPE,
    train=None,
    val=None,
    checkpoint=None,
    stop=None,
    on_epoch=lambda row: None,
    on_step=lambda: None,
    processes=None,
    weighting="none",
) -> Loop:
    own = train or part()
    loss = make_loss("cross_entropy", weighting, own.labels)
    rest = (checkpoint, stop or StopRequest(), on_epoch, on_step)
    return Loop(own, val or own, loss, recipe, CPU, processes or Processes(), *rest)


def fit(network, recipe=RECIPE, **changes):
    """Train from the start; return the progress."""
    loop = make_loop(recipe, **changes)
    return loop.run(make_session(network, recipe, len(loop.train_split.labels)))
