"""From a model's folder to scored boxes on disk: what both pipelines do with each network."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from cxr14.data.cache import open_cache
from cxr14.evaluation.bootstrap import SEED
from cxr14.files import read_json
from cxr14.localization.detect import boxed_pairs, check_tested
from cxr14.localization.maps import Maps, make_maps
from cxr14.localization.outputs import write_scores, write_sheets
from cxr14.localization.randomisation import OTHER_SEED
from cxr14.localization.scale import validation_images
from cxr14.localization.scorecard import score
from cxr14.localization.terminal import printed
from cxr14.models.network import build_network
from cxr14.models.store import load_model

RECORDS = Path("data/records")


def maps_of_model(
    folder: Path,
    backbone: str,
    predictions: pd.DataFrame,
    method: str,
    scaling: str,
    batch_size: int,
) -> Maps:
    """Compute the heatmaps of a trained network, and what they are held against.

    Reads data/cache and data/records.

    Args:
        folder: of its weights and model.json.
        backbone: its name.
        predictions: of the network; says what is val and test.
        method: one of saliency.METHODS.
        scaling: per_map or fixed.
        batch_size: images per forward pass.

    Returns:
        Of the boxed pairs of image and finding, in the order of detect.boxed_pairs.

    Raises:
        ValueError: a boxed image is not in test.
    """
    images, index = open_cache()
    records, boxes = (pd.read_parquet(RECORDS / f"{name}.parquet") for name in ("images", "boxes"))
    network, about = load_model(folder)
    anew = {"seed": OTHER_SEED, "classes": network.classes} | about["head"]
    build = partial(build_network, backbone, **anew)
    drawn = boxes[boxes["finding"].isin(network.classes)]
    pairs = boxed_pairs(drawn, index, records)
    check_tested(pairs, predictions)
    validation = validation_images(predictions, index, records)
    how = method, scaling, batch_size, np.random.default_rng(SEED)
    return make_maps(network, build, images, pairs, drawn, validation, *how)


def write_localization(
    root: Path,
    name: str,
    maps: Maps,
    method: str,
    t_iobb: Sequence[float],
    t_iou: Sequence[float],
    heat_thresholds: Sequence[int],
    predictions: pd.DataFrame,
) -> list[Table]:
    """Draw boxes from heatmaps, score them, and write boxes, heatmaps, metrics and sheets.

    Args:
        root: the folder that holds localization, metrics and plots.
        name: of the network, or of an ensemble.
        maps: of the boxed pairs.
        method: which of the maps are the network's.
        t_iobb: limits of IoBB.
        t_iou: limits of IoU.
        heat_thresholds: of 255.
        predictions: for the captions.

    Returns:
        The tables for the terminal.
    """
    images, _ = open_cache()
    phantom = bool(read_json(RECORDS / "source.json")["phantom"])
    scores = score(maps, t_iobb, t_iou, heat_thresholds)
    write_scores(root, name, maps, scores, phantom)
    title = f"{name}, {method}"
    seen = scores, images, predictions, heat_thresholds, phantom
    write_sheets(root, name, title, maps, *seen)
    boxed = scores.headline["boxed_images"]
    return printed(f"{title}, {boxed} boxed images", scores.tables, phantom)
