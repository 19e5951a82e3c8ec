"""Localization of one network: heatmaps, detected boxes, scores and their files."""

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
from cxr14.localization.boxes import Limits
from cxr14.localization.controls import OTHER_SEED, Maps, make_maps
from cxr14.localization.detect import boxed_pairs, check_tested, write_heatmaps
from cxr14.localization.heat_scale import validation_images
from cxr14.localization.scores import gather
from cxr14.localization.tables import Scores, score
from cxr14.metrics.bootstrap import SEED
from cxr14.models.network import build_network
from cxr14.models.serialization import load_model
from cxr14.preprocessing.cache import open_cache


def write_scores(
    root: str | Path, backbone: str, maps: Maps, scores: Scores, source: Source
) -> None:
    """Write localization/B/ (boxes, heatmaps) and metrics/localize/B.json with its tables in B/.

    Args:
        root: of the repository.
        backbone: B.
        maps: the network's maps are written.
        scores: of these maps.
        source: of the images.
    """
    folder, metrics = Path(root, "localization", backbone), Path(root, "metrics/localize")
    write_parquet(folder / "detections.parquet", scores.overlaps)
    write_heatmaps(folder / "heatmaps.npz", maps.boxed.pairs, maps.network_grids)
    for name, table in scores.tables.items():
        write_table(metrics / backbone / f"{name}.csv", table, source)
    write_result(metrics / f"{backbone}.json", scores.headline, source)


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
        Of the boxed pairs of image and finding, in the order of detect.boxed_pairs.

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


def write_localization(root: Path, name: str, maps: Maps, limits: Limits, source: Source) -> Scores:
    """Detect boxes in heatmaps, score them, and write boxes, heatmaps and metrics.

    Args:
        root: the folder that holds localization and metrics.
        name: of the network, or of an ensemble.
        maps: of the boxed pairs.
        limits: of the tables.
        source: of the images.

    Returns:
        All scores.
    """
    scores = score(maps, limits)
    write_scores(root, name, maps, scores, source)
    return scores
