"""Localization of a network or an ensemble: heatmaps, detected boxes, scores and their files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.datasets.records import (
    Source,
    read_boxes,
    read_records,
    read_source,
    read_split,
    write_result,
    write_table,
)
from cxr14.io import write_parquet
from cxr14.localization.cam import grids_of_pairs, heat_scale, scale_by_finding
from cxr14.localization.control_baselines import control_grids
from cxr14.localization.heatmaps import (
    Grids,
    boxed_pairs,
    check_tested,
    upsampled,
    validation_images,
    write_heatmaps,
)
from cxr14.localization.overlap import Thresholds
from cxr14.localization.sanity_check import OTHER_SEED, sanity_check_similarity
from cxr14.localization.scores import BoxedPairs, Maps, gather
from cxr14.localization.tables import Scores, score
from cxr14.metrics.bootstrap import SEED
from cxr14.models.network import Network, build_network
from cxr14.models.serialization import load_model
from cxr14.preprocessing.cache import open_cache


@dataclass(frozen=True)
class Inputs:
    """The images and their records, the same for every network."""

    images: npt.NDArray[np.uint8]  # (N, S, S), data/cache
    index: pd.DataFrame  # of the cache
    records: pd.DataFrame  # data/records/images.parquet
    boxes: pd.DataFrame  # data/records/boxes.parquet
    source: Source


def read_inputs() -> Inputs:
    """Read data/cache and data/records.

    Raises:
        UserError: a patient is in two splits of data/split.
    """
    read_split()
    return Inputs(*open_cache(), read_records(), read_boxes(), read_source())


def maps_of_model(
    folder: Path,
    backbone: str,
    inputs: Inputs,
    predictions: pd.DataFrame,
    method: str,
    scaling: str,
    batch_size: int,
) -> Maps:
    """Compute the heatmaps of a trained network, and of the control baselines.

    Args:
        folder: of its weights and model.json.
        backbone: its name.
        inputs: see :func:`read_inputs`.
        predictions: of the network, with the split of each image.
        method: one of cam.METHODS.
        scaling: per_map or fixed.
        batch_size: images per forward pass.

    Returns:
        Of the boxed pairs, in the order of heatmaps.boxed_pairs.

    Raises:
        UserError: a boxed image is not in test.
    """
    network, description = load_model(folder)
    arguments = {"seed": OTHER_SEED, "classes": network.classes} | description["head"]
    build = partial(build_network, backbone, **arguments)
    ground_truth = inputs.boxes[inputs.boxes["finding"].isin(network.classes)]
    pairs = boxed_pairs(ground_truth, inputs.index, inputs.records)
    check_tested(pairs, predictions)
    images, generator = inputs.images, np.random.default_rng(SEED)
    boxed = gather(pairs, ground_truth, images.shape[-1], scaling, network.classes, generator)
    validation = validation_images(predictions, inputs.index, inputs.records)
    return make_maps(network, build, images, boxed, validation, method, batch_size, generator)


def make_maps(
    network: Network,
    build: Callable[[], Network],
    images: npt.NDArray[np.uint8],
    boxed: BoxedPairs,
    validation: pd.DataFrame,
    method: str,
    batch_size: int,
    generator: np.random.Generator,
) -> Maps:
    """Compute the network's heatmaps, the control baselines and the sanity check.

    Arguments as of :func:`maps_of_model`, cam.heat_scale and sanity_check_similarity.
    """
    pairs, findings = boxed.pairs, [name for name in boxed.findings if name in network.classes]
    scale = heat_scale(boxed.scaling, network, images, validation, findings, method, batch_size)
    grids = grids_of_pairs(network, images, pairs, method, batch_size, scale_by_finding(scale))
    controls = control_grids(boxed, (grids.shape[1], grids.shape[2]), generator)
    similarity = sanity_check_similarity(network, build, images, pairs, grids, method, batch_size)
    return Maps(boxed, {method: grids} | controls, scale, similarity)


AVERAGED_SCALE = "the average of maps, each by the top of its own network"


def average_maps(members: Sequence[Maps]) -> Maps:
    """Average the heatmaps of K networks for the same pairs.

    The control baselines are those of the finest grid. The sanity check keeps a row for each
    network and pair, as opposite signs would cancel in an average.

    Args:
        members: by one method, of networks with the same classes; replicates from equal
            generators.
    """
    finest = max(members, key=lambda maps: maps.network_grids.shape[-1])
    mean = mean_grids([maps.network_grids for maps in members])
    scale = finest.scale
    if (scale["scaling"] == "fixed").any():
        scale = scale.assign(heat_scale=np.nan, reason=AVERAGED_SCALE)
    similarity = pd.concat([maps.similarity for maps in members])
    grids = finest.grids | {finest.method: mean}
    return finest._replace(grids=grids, scale=scale, similarity=similarity)


def mean_grids(grids: Sequence[Grids]) -> Grids:
    """Average grids; if they differ in size, all are upsampled to the finest first.

    At 224 px AlexNet's are 6 × 6, those of others 7 × 7. Each network has the same weight: a map is
    0–1 by its own range, or 1 at the heat scale of its network (localize.scaling).

    Args:
        grids: K arrays (P, h, w), h = w, of the same P pairs in the same order.

    Returns:
        (P, H, W) float16 of the finest size.
    """
    size = max(grid.shape[-1] for grid in grids)
    widened = [grid.astype(np.float32) for grid in grids]
    same = [grid if grid.shape[-1] == size else upsampled(grid, size) for grid in widened]
    return np.asarray(np.mean(same, axis=0), np.float16)


def write_localization(
    root: Path, name: str, maps: Maps, thresholds: Thresholds, source: Source
) -> Scores:
    """Detect boxes in heatmaps, score them, and write boxes, heatmaps and metrics.

    Writes localization/NAME/ (boxes, heatmaps), and metrics/localize/NAME.json with its tables in
    NAME/.

    Args:
        root: the folder that holds localization and metrics.
        name: of the network, or of an ensemble.
        maps: of the boxed pairs; the network's own are written.
        thresholds: of the tables.
        source: of the images.

    Returns:
        All scores.
    """
    scores = score(maps, thresholds)
    folder, metrics = root / "localization" / name, root / "metrics/localize"
    write_parquet(folder / "detections.parquet", scores.overlaps)
    write_heatmaps(folder / "heatmaps.npz", maps.boxed.pairs, maps.network_grids)
    for table_name, table in scores.tables.items():
        write_table(metrics / name / f"{table_name}.csv", table, source)
    write_result(metrics / f"{name}.json", scores.headline, source)
    return scores
