"""Localise boxed findings by heatmap and hold the boxes against the radiologists'.

    python -m stages.localize_iobb --backbone alexnet

A heatmap of each boxed finding among the network's classes at cache resolution, boxes around the
regions above each heat threshold, IoBB and IoU with the drawn boxes.

Reads models/B, data/cache, data/records, predictions/B.parquet (for captions, and to know which
images are for validation).
Writes localization/B/detections.parquet and heatmaps.npz, metrics/localize/B.json,
metrics/localize/B/scale.csv,
plots/localize/B/<Finding>.png.
"""

from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from cxr14.data.cache import open_cache
from cxr14.evaluation.bootstrap import SEED
from cxr14.files import read_json, write_csv, write_metrics, write_parquet
from cxr14.localization.detect import (
    boxed_pairs,
    detect,
    grids_of_pairs,
    listed_findings,
    write_heatmaps,
)
from cxr14.localization.scale import heat_scale, tops_of, validation_images
from cxr14.localization.scorecard import measure
from cxr14.localization.scoring import with_overlaps
from cxr14.localization.sheets import draw_sheets
from cxr14.localization.terminal import accuracy_table
from cxr14.models.store import load_model
from cxr14.params import localize
from stages import run


def main(backbone: Annotated[str, typer.Option(help="which of models/ to use")]) -> None:
    """Run the stage."""
    params, (images, index) = localize.read(), open_cache("data/cache")
    phantom = bool(read_json("data/records/source.json")["phantom"])
    drawn = pd.read_parquet("data/records/boxes.parquet")
    network, _ = load_model(f"models/{backbone}")
    drawn = drawn[drawn["finding"].isin(network.classes)]
    records = pd.read_parquet("data/records/images.parquet")
    predictions = pd.read_parquet(f"predictions/{backbone}.parquet")
    pairs = boxed_pairs(drawn, index, records)
    how = params.method, params.batch_size
    findings = [name for name in listed_findings(pairs) if name in network.classes]
    validation = validation_images(predictions, index, records)
    scale = heat_scale(params.scaling, network, images, validation, findings, *how)
    write_csv(f"metrics/localize/{backbone}/scale.csv", scale)
    grids = grids_of_pairs(network, images, pairs, *how, tops_of(scale))
    heats = sorted(params.heat_thresholds)
    overlaps = with_overlaps(detect(pairs, grids, images.shape[-1], heats, params.scaling), drawn)
    write_parquet(f"localization/{backbone}/detections.parquet", overlaps)
    write_heatmaps(f"localization/{backbone}/heatmaps.npz", pairs, grids)

    generator = np.random.default_rng(SEED)
    limits = params.t_iobb, params.t_iou
    metrics = measure(pairs, overlaps, *limits, heats, generator, network.classes)
    metrics["boxed_images_without_pixels"] = drawn["image"].nunique() - metrics["boxed_images"]
    metrics["phantom"] = int(phantom)
    write_metrics(f"metrics/localize/{backbone}.json", metrics)
    title = f"{backbone}, {params.method}"
    shown = (pairs, grids, drawn, overlaps, predictions, heats, title, phantom, params.scaling)
    draw_sheets(f"plots/localize/{backbone}", images, *shown)
    for name in ("iobb", "iou"):
        Console().print(accuracy_table(backbone, metrics, name))


if __name__ == "__main__":
    run(main, __doc__)
