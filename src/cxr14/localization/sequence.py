"""From a model's folder to scored boxes on disk: what both pipelines do with each network."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.table import Table

from cxr14.data.cache import open_cache
from cxr14.data.stored import read_boxes, read_records, read_source
from cxr14.evaluation.bootstrap import SEED
from cxr14.localization.cases import gather
from cxr14.localization.detect import boxed_pairs, check_tested
from cxr14.localization.maps import Maps, make_maps
from cxr14.localization.outputs import write_scores
from cxr14.localization.randomisation import OTHER_SEED
from cxr14.localization.scale import validation_images
from cxr14.localization.scorecard import score
from cxr14.localization.scoring import Limits
from cxr14.localization.sheets import draw_sheets
from cxr14.localization.terminal import printed
from cxr14.models.network import build_network
from cxr14.models.store import load_model


@dataclass(frozen=True)
class Inputs:
    """The images and their records, the same for every network."""

    images: npt.NDArray[np.uint8]  # (N, S, S), data/cache
    index: pd.DataFrame  # of the cache
    records: pd.DataFrame  # data/records/images.parquet
    boxes: pd.DataFrame  # data/records/boxes.parquet
    phantom: bool


def read_inputs() -> Inputs:
    """Read data/cache and data/records."""
    phantom = bool(read_source()["phantom"])
    return Inputs(*open_cache(), read_records(), read_boxes(), phantom)


def maps_of_model(
    folder: Path,
    backbone: str,
    inputs: Inputs,
    predictions: pd.DataFrame,
    method: str,
    scaling: str,
    batch_size: int,
) -> Maps:
    """Compute the heatmaps of a trained network, and what they are held against.

    Args:
        folder: of its weights and model.json.
        backbone: its name.
        inputs: see :func:`read_inputs`.
        predictions: of the network; says what is val and test.
        method: one of saliency.METHODS.
        scaling: per_map or fixed.
        batch_size: images per forward pass.

    Returns:
        Of the boxed pairs of image and finding, in the order of detect.boxed_pairs.

    Raises:
        UserError: a boxed image is not in test.
    """
    network, about = load_model(folder)
    anew = {"seed": OTHER_SEED, "classes": network.classes} | about["head"]
    build = partial(build_network, backbone, **anew)
    drawn = inputs.boxes[inputs.boxes["finding"].isin(network.classes)]
    pairs = boxed_pairs(drawn, inputs.index, inputs.records)
    check_tested(pairs, predictions)
    images, generator = inputs.images, np.random.default_rng(SEED)
    cases = gather(pairs, drawn, images.shape[-1], scaling, network.classes, generator)
    validation = validation_images(predictions, inputs.index, inputs.records)
    return make_maps(network, build, images, cases, validation, method, batch_size, generator)


def write_localization(
    root: Path, name: str, inputs: Inputs, predictions: pd.DataFrame, maps: Maps, limits: Limits
) -> list[Table]:
    """Draw boxes from heatmaps, score them, and write boxes, heatmaps, metrics and sheets.

    Args:
        root: the folder that holds localization, metrics and plots.
        name: of the network, or of an ensemble.
        inputs: see :func:`read_inputs`.
        predictions: for the captions.
        maps: of the boxed pairs.
        limits: of the tables.

    Returns:
        The tables for the terminal.
    """
    scores = score(maps, limits)
    write_scores(root, name, maps, scores, inputs.phantom)
    title = f"{name}, {maps.method}"
    draw_sheets(
        root / "plots/localize" / name,
        title,
        maps,
        scores.overlaps,
        images=inputs.images,
        predictions=predictions,
        heat_thresholds=limits.heat_thresholds,
        phantom=inputs.phantom,
    )
    boxed = scores.headline["boxed_images"]
    return printed(f"{title}, {boxed} boxed images", scores.tables, inputs.phantom)
