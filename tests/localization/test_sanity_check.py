"""Maps that do not depend on the weights are flagged."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from cxr14.localization.cam import SaliencySettings, normalized_heatmaps
from cxr14.localization.sanity_check import (
    MAX_IMAGES,
    SIMILAR,
    rank_correlations,
    sample,
    sanity_check_similarity,
    sanity_check_table,
)
from cxr14.models.network import Network, build_network

IMAGES = np.random.default_rng(0).integers(0, 256, (16, 64, 64), dtype=np.uint8)


class Brightness(Network):
    """Ignores its weights: the maps are the image's own brightness, and every class likes it."""

    def maps(self, images):
        return nn.functional.avg_pool2d(images[:, :1], 8) + 3  # not negative

    def score(self, maps):
        return maps.mean(dim=(1, 2, 3))[:, None].expand(-1, len(self.classes))


def network_of(kind, seed=1):
    def build(seed=seed + 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return kind("resnet18", 8, "avg")

    return build(seed).eval(), build


def test_rank_correlations_are_scipys():
    first, second = np.random.default_rng(0).integers(0, 5, (2, 6, 4, 4)).astype(np.float16)
    expected = [
        stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)
    ]
    assert rank_correlations(first, second) == pytest.approx(np.array(expected))


def test_a_flat_map_has_no_similarity():
    assert np.isnan(rank_correlations(np.zeros((1, 3, 3)), np.eye(3)[None])).all()


def test_the_sample_is_all_pairs_of_at_most_so_many_images_spread_evenly():
    pairs = pd.DataFrame({"row": np.arange(300) // 2})
    rows = pairs["row"].to_numpy()[sample(pairs)]
    assert len(rows) == 2 * MAX_IMAGES
    assert (rows.min(), rows.max()) == (0, 149)
    assert np.diff(np.unique(rows)).max() <= 7
    assert sample(pairs.iloc[:5]).tolist() == [0, 1, 2, 3, 4]
    assert len(sample(pairs.iloc[:0])) == 0


def test_a_network_that_ignores_its_weights_is_flagged(boxed):
    trained, build = network_of(Brightness)
    grids = normalized_heatmaps(trained, IMAGES, boxed.pairs, SaliencySettings("gradcam", 8, 64))
    similarity = sanity_check_similarity(
        trained, build, IMAGES, boxed.pairs, grids, SaliencySettings("gradcam", 8, 64)
    )
    table = sanity_check_table(boxed, similarity)
    assert table["randomized_layers"].tolist() == ["head", "network"]
    assert (table["similarity"] > 0.99).all()
    assert table["unchanged"].tolist() == [1, 1]
    assert table["n_pairs"].tolist() == [len(boxed.pairs)] * 2


def test_a_network_that_uses_its_weights_is_not(boxed):
    trained, build = network_of(Network)
    grids = normalized_heatmaps(trained, IMAGES, boxed.pairs, SaliencySettings("cam", 8, 64))
    similarity = sanity_check_similarity(
        trained, build, IMAGES, boxed.pairs, grids, SaliencySettings("cam", 8, 64)
    )
    table = sanity_check_table(boxed, similarity)
    assert (table["similarity"].abs() < SIMILAR).all()
    assert table["unchanged"].tolist() == [0, 0]


def test_a_network_built_with_the_same_seed_is_wholly_similar(boxed):
    trained, build = network_of(Network)
    grids = normalized_heatmaps(trained, IMAGES, boxed.pairs, SaliencySettings("cam", 8, 64))
    similarity = sanity_check_similarity(
        trained, lambda: build(1), IMAGES, boxed.pairs, grids, SaliencySettings("cam", 8, 64)
    )
    assert similarity.to_numpy() == pytest.approx(1)


def test_flat_pairs_are_left_out_and_counted(boxed):
    similarity = pd.DataFrame({"head": [0.2, np.nan, 0.4]}, index=[0, 3, 5])
    row = sanity_check_table(boxed, similarity).iloc[0]
    assert (row["n_pairs"], row["n_constant"]) == (2, 1)
    assert row["similarity"] == pytest.approx(0.3)
    assert np.isnan(row["similarity_low"])
    assert row["reason"] == "no interval: too few patients: 2 of 10"
    whole = sanity_check_table(boxed, pd.DataFrame({"head": np.linspace(0, 1, 26)})).iloc[0]
    assert whole["similarity_low"] < 0.5 < whole["similarity_high"]
    assert whole["reason"] == ""
    nothing = sanity_check_table(boxed, similarity.assign(head=np.nan)).iloc[0]
    assert (nothing["n_pairs"], nothing["n_constant"], nothing["unchanged"]) == (0, 3, 0)
    assert nothing["reason"] == "no pair of maps to compare"


def test_the_trained_network_is_left_as_it_was(boxed):
    trained = build_network("resnet18", 8, "avg", 10.0, 1).eval()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    grids = normalized_heatmaps(trained, IMAGES, boxed.pairs, SaliencySettings("cam", 8, 64))
    build = network_of(Network)[1]
    sanity_check_similarity(
        trained, build, IMAGES, boxed.pairs, grids, SaliencySettings("cam", 8, 64)
    )
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())
    assert not trained.training


def test_without_a_boxed_image_there_is_nothing_to_compare(boxed):
    """The stage failed: nothing cannot be reshaped."""
    trained, build = network_of(Network)
    none = boxed.pairs.iloc[:0]
    grids = normalized_heatmaps(trained, IMAGES, none, SaliencySettings("gradcam", 8, 64))
    similarity = sanity_check_similarity(
        trained, build, IMAGES, none, grids, SaliencySettings("gradcam", 8, 64)
    )
    table = sanity_check_table(replace(boxed, pairs=none, weights=boxed.weights[:, :0]), similarity)
    assert table["randomized_layers"].tolist() == ["head", "network"]
    assert set(table["reason"]) == {"no pair of maps to compare"}
