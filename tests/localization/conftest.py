"""A tiny network, and boxed pairs to score."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cxr14.labels import CLASSES
from cxr14.localization.scores import PixelMaps, gather, gather_masked
from cxr14.masks import SIDE, encode_mask


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


SIZE = 32


@pytest.fixture
def pair_tables():
    """Sixteen patients with a Mass each, ten with a Nodule too: pairs and ground-truth boxes."""
    generator = np.random.default_rng(14)
    pairs = [(f"{patient:02d}.png", "Mass", patient, patient) for patient in range(16)]
    pairs += [
        (f"{patient:02d}.png", "Nodule", patient, patient)
        for patient in range(16)
        if patient % 8 < 5
    ]
    table = pd.DataFrame(sorted(pairs), columns=["image", "finding", "patient", "row"])
    corner, side = generator.integers(0, 16, (len(table), 2)), generator.integers(4, 16, len(table))
    ground_truth = table[["image", "finding"]].assign(x=corner[:, 0], y=corner[:, 1], width=side)
    ground_truth = ground_truth.assign(height=side).astype(
        dict.fromkeys(["x", "y", "width", "height"], float)
    )
    return table.assign(scale=1.0, offset_x=0.0, offset_y=0.0), ground_truth


@pytest.fixture
def boxed(pair_tables):
    """The same, gathered; an Effusion would have been known, a Pneumonia not."""
    trained = ("Mass", "Nodule", "Effusion")
    return gather(*pair_tables, SIZE, "per_map", trained, np.random.default_rng(0), resamples=200)


@pytest.fixture
def masked(pair_tables):
    """The same pairs with the pixels of their boxes as masks, on images of 32 px."""
    pairs, ground_truth = pair_tables
    runs = []
    for box in ground_truth.itertuples():
        mask = np.zeros((SIDE, SIDE), bool)
        y, x, side = (int(value) * SIDE // SIZE for value in (box.y, box.x, box.width))
        mask[y : y + side, x : x + side] = True
        runs.append(encode_mask(mask))
    table = pairs.assign(runs=runs, source_width=SIZE, source_height=SIZE)
    trained = ("Mass", "Nodule", "Effusion")
    return gather_masked(table, SIZE, "per_map", trained, np.random.default_rng(0), resamples=200)


@pytest.fixture
def no_pixels(pair_tables):
    """Maps of a source without masks."""
    none = pair_tables[0].iloc[:0].assign(runs=[], source_width=[], source_height=[])
    pairs = gather_masked(none, SIZE, "per_map", ("Mass",), np.random.default_rng(0), resamples=20)
    return PixelMaps(pairs, {"gradcam": np.zeros((0, 4, 4), np.float16)})
