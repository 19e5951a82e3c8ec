"""Localization of a network or an ensemble: heatmaps, detected boxes, scores and their files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.config.localize import LocalizeParams
from cxr14.datasets.records import (
    Source,
    read_boxes,
    read_records,
    read_source,
    read_split,
    write_result,
    write_table,
)
from cxr14.errors import UserError
from cxr14.io import write_parquet
from cxr14.labels import FINDINGS
from cxr14.localization.cam import (
    SaliencySettings,
    heat_scale,
    normalized_heatmaps,
    scale_by_finding,
)
from cxr14.localization.control_baselines import control_grids
from cxr14.localization.heatmaps import (
    Grids,
    boxed_pairs,
    check_tested,
    masked_pairs,
    upsampled,
    validation_images,
    write_heatmaps,
)
from cxr14.localization.overlap import PAIR, Thresholds
from cxr14.localization.sanity_check import OTHER_SEED, sanity_check_similarity
from cxr14.localization.scores import (
    BoxedPairs,
    Maps,
    MaskedPairs,
    PixelMaps,
    gather,
    gather_masked,
)
from cxr14.localization.tables import Scores, score
from cxr14.masks import read_masks
from cxr14.metrics.bootstrap import SEED
from cxr14.models.maps import map_shape
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
    masks: pd.DataFrame  # data/records/masks.parquet
    source: Source


def read_inputs() -> Inputs:
    """Read data/cache and data/records.

    Raises:
        UserError: a patient is in two splits of data/split.
    """
    read_split()
    return Inputs(*open_cache(), read_records(), read_boxes(), read_masks(), read_source())


def maps_of_model(
    folder: Path,
    backbone: str,
    inputs: Inputs,
    predictions: pd.DataFrame,
    params: LocalizeParams,
) -> Maps:
    """Compute the heatmaps of a trained network, and of the control baselines.

    Args:
        folder: of its weights and model.json.
        backbone: its name.
        inputs: see :func:`read_inputs`.
        predictions: of the network, with the split of each image.
        params: how to compute the heatmaps.

    Returns:
        Of the boxed pairs, in the order of heatmaps.boxed_pairs, and of the masked pairs.

    Raises:
        UserError: an image with a box or a mask is not in test.
    """
    network, description = load_model(folder)
    sizes = description["input_size"], inputs.images.shape[-1]
    settings = SaliencySettings.of_params(params, *sizes)
    check_map_size(network, settings.input_size, params.size)
    facts = {"seed": OTHER_SEED, "classes": network.classes, "weights": network.weights}
    build = partial(build_network, backbone, **facts | description["head"])
    generator = np.random.default_rng(SEED)
    boxed, masked = gather_truth(inputs, network.classes, params.scaling, generator)
    for pairs in (boxed.pairs, masked.pairs):
        check_tested(pairs, predictions)
    validation = validation_images(predictions, inputs.index, inputs.records)
    return make_maps(network, build, inputs.images, boxed, masked, validation, settings, generator)


def check_map_size(network: Network, size: int, origin: str) -> None:
    """Refuse images of a size that the network does not take.

    Raises:
        UserError: names the size and the key.
    """
    try:
        map_shape(network.features, size)
    except RuntimeError:
        raise UserError(
            f"localize.size is {origin}, but {network.backbone} takes no images of {size} px; set "
            f"it to train"
        ) from None


def gather_truth(
    inputs: Inputs, classes: Sequence[str], scaling: str, generator: np.random.Generator
) -> tuple[BoxedPairs, MaskedPairs]:
    """Gather the pairs of a network's classes that have boxes, and those that have a mask."""
    size, records = inputs.images.shape[-1], (inputs.index, inputs.records)
    boxes, masks = (table[table["finding"].isin(classes)] for table in (inputs.boxes, inputs.masks))
    arguments = size, scaling, classes, generator
    boxed = gather(boxed_pairs(boxes, *records), boxes, *arguments)
    return boxed, gather_masked(masked_pairs(masks, *records), *arguments)


def make_maps(
    network: Network,
    build: Callable[[], Network],
    images: npt.NDArray[np.uint8],
    boxed: BoxedPairs,
    masked: MaskedPairs,
    validation: pd.DataFrame,
    settings: SaliencySettings,
    generator: np.random.Generator,
) -> Maps:
    """Compute the network's heatmaps, the control baselines and the sanity check.

    Arguments as of :func:`maps_of_model`, cam.heat_scale and sanity_check_similarity.
    """
    pairs = pd.concat([boxed.pairs, masked.pairs])[[*PAIR, "row"]]
    findings = [name for name in FINDINGS if name in {*boxed.findings, *pairs["finding"]}]
    findings = [name for name in findings if name in network.classes]
    scale = heat_scale(boxed.scaling, network, images, validation, findings, settings)
    # One forward pass for boxes and masks of an image.
    grids = normalized_heatmaps(network, images, pairs, settings, scale_by_finding(scale))
    of_boxes, of_masks = np.split(grids, [len(boxed.pairs)])
    shape = (grids.shape[1], grids.shape[2])
    similarity = sanity_check_similarity(network, build, images, boxed.pairs, of_boxes, settings)
    return Maps(
        boxed,
        {settings.method: of_boxes} | control_grids(boxed, shape, settings.smoothing, generator),
        scale,
        similarity,
        PixelMaps(
            masked,
            {settings.method: of_masks}
            | control_grids(masked, shape, settings.smoothing, generator),
        ),
    )


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
    masked, grids = finest.pixels
    on_masks = mean_grids([maps.pixels.grids[finest.method] for maps in members])
    return finest._replace(
        grids=finest.grids | {finest.method: mean},
        scale=scale,
        similarity=pd.concat([maps.similarity for maps in members]),
        pixels=PixelMaps(masked, grids | {finest.method: on_masks}),
    )


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
