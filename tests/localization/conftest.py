"""A network small enough to know by heart, with the interface of the real one."""

import pytest
import torch
from torch import nn

from cxr14.findings import CLASSES


class TinyNetwork(nn.Module):
    """Four maps on a grid of a quarter of the side; average or maximum pooling."""

    def __init__(self, pooling="avg", classes=CLASSES):
        super().__init__()
        self.classes = classes
        self.pooling = pooling
        self.prediction = nn.Linear(4, len(classes))
        self.filters = nn.Conv2d(3, 4, 4, stride=4)
        self.passes = 0

    def maps(self, images):
        self.passes += len(images)
        return self.filters(images).relu()

    def score(self, maps):
        flat = maps.flatten(2)
        return self.prediction(flat.mean(2) if self.pooling == "avg" else flat.amax(2))

    def forward(self, images):
        return self.score(self.maps(images))


@pytest.fixture
def tiny():
    def build(pooling="avg", classes=CLASSES):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return TinyNetwork(pooling, classes).eval()

    return build
