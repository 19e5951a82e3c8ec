"""Localise boxed findings by heatmap and hold the boxes against the radiologists'.

    python -m stages.localize_iobb --backbone alexnet

Heatmaps of each boxed finding among the network's classes at cache resolution, boxes around the
regions above each heat threshold, IoBB and IoU with the drawn boxes; the same for heatmaps that
no network made, and for the network with its weights made anew (docs/localization.md).

Reads models/B, data/cache, data/records, predictions/B.parquet (for captions, and to know which
images are for validation).
Writes localization/B/detections.parquet and heatmaps.npz, metrics/localize/B.json and
metrics/localize/B/*.csv, plots/localize/B/<Finding>.png.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from cxr14.data.cache import open_cache
from cxr14.evaluation.bootstrap import SEED
from cxr14.files import read_json, write_csv, write_metrics, write_parquet
from cxr14.localization.detect import boxed_pairs, write_heatmaps
from cxr14.localization.maps import Maps, make_maps
from cxr14.localization.scale import validation_images
from cxr14.localization.scorecard import score
from cxr14.localization.sheets import draw_sheets
from cxr14.localization.terminal import printed
from cxr14.models.network import build_network
from cxr14.models.store import load_model
from cxr14.params import localize
from cxr14.params.localize import LocalizeParams
from stages import run


def main(backbone: Annotated[str, typer.Option(help="which of models/ to use")]) -> None:
    """Run the stage."""
    params, (images, index) = localize.read(), open_cache("data/cache")
    boxes = pd.read_parquet("data/records/boxes.parquet")
    records = pd.read_parquet("data/records/images.parquet")
    predictions = pd.read_parquet(f"predictions/{backbone}.parquet")
    network, about = load_model(f"models/{backbone}")
    fresh = partial(build_network, backbone, **about["head"], seed=SEED, classes=network.classes)
    drawn = boxes[boxes["finding"].isin(network.classes)]
    pairs = boxed_pairs(drawn, index, records)
    validation = validation_images(predictions, index, records)
    how = params.method, params.scaling, params.batch_size, np.random.default_rng(SEED)
    maps = make_maps(network, fresh, images, pairs, drawn, validation, *how)
    Console().print(*score_maps(backbone, maps, params, images, predictions))


def score_maps(
    name: str,
    maps: Maps,
    params: LocalizeParams,
    images: npt.NDArray[np.uint8],
    predictions: pd.DataFrame,
    root: Path = Path(),
) -> list[Table]:
    """Score the heatmaps of a network, or the average of several networks', and write all of it.

    Args:
        name: of the network.
        maps: of the boxed pairs.
        params: the block `localize`.
        images: (N, S, S) uint8, the cache.
        predictions: predictions/B.parquet, for captions.
        root: the folder that holds localization, metrics and plots.

    Returns:
        The tables for the terminal.
    """
    phantom = bool(read_json("data/records/source.json")["phantom"])
    scores = score(maps, params.t_iobb, params.t_iou, params.heat_thresholds)
    pairs, drawn, grids = maps.cases.pairs, maps.cases.drawn, maps.grids[params.method]
    write_parquet(root / f"localization/{name}/detections.parquet", scores.overlaps)
    write_heatmaps(root / f"localization/{name}/heatmaps.npz", pairs, grids)
    metrics = root / "metrics/localize"
    for about, table in scores.tables.items():
        write_csv(metrics / name / f"{about}.csv", table)
    write_metrics(metrics / f"{name}.json", scores.headline | {"phantom": int(phantom)})
    title = f"{name}, {params.method}"
    shown = pairs, grids, drawn, scores.overlaps, predictions, sorted(params.heat_thresholds)
    sheets = root / f"plots/localize/{name}"
    draw_sheets(sheets, images, *shown, title, phantom, params.scaling)
    n = f"{pairs['image'].nunique()} boxed images"
    return printed(f"{title}, {n}", scores.tables, phantom)


if __name__ == "__main__":
    run(main, __doc__)
