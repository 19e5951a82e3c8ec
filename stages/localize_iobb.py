"""Localise boxed findings by heatmap and hold the boxes against the radiologists'.

    python -m stages.localize_iobb --backbone alexnet

Heatmaps of each boxed finding among the network's classes at cache resolution, boxes around the
regions above each heat threshold, IoBB and IoU with the drawn boxes; the same for heatmaps that
no network made, and for the network with its weights made anew (docs/localization.md).

Reads models/B, data/cache, data/records, predictions/B.parquet (for captions).
Writes localization/B/detections.parquet and heatmaps.npz, metrics/localize/B.json and
metrics/localize/B/*.csv, plots/localize/B/<Finding>.png.
"""

from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from cxr14.data.cache import open_cache
from cxr14.evaluation.bootstrap import SEED
from cxr14.files import read_json, write_csv, write_metrics, write_parquet
from cxr14.localization.cases import gather
from cxr14.localization.controls import control_grids
from cxr14.localization.detect import boxed_pairs, grids_of_pairs, write_heatmaps
from cxr14.localization.randomisation import randomised_similarity
from cxr14.localization.scorecard import score
from cxr14.localization.sheets import draw_sheets
from cxr14.localization.terminal import printed
from cxr14.models.network import build_network
from cxr14.models.store import load_model
from cxr14.params import localize
from stages import run


def main(backbone: Annotated[str, typer.Option(help="which of models/ to use")]) -> None:
    """Run the stage."""
    params, (images, index) = localize.read(), open_cache("data/cache")
    phantom = bool(read_json("data/records/source.json")["phantom"])
    drawn = pd.read_parquet("data/records/boxes.parquet")
    network, description = load_model(f"models/{backbone}")
    drawn = drawn[drawn["finding"].isin(network.classes)]
    pairs = boxed_pairs(drawn, index, pd.read_parquet("data/records/images.parquet"))
    method, heats = params.method, sorted(params.heat_thresholds)
    grids = grids_of_pairs(network, images, pairs, method, params.batch_size)

    generator = np.random.default_rng(SEED)
    cases = gather(pairs, drawn, images.shape[-1], "per_map", network.classes, generator)
    maps = {method: grids} | control_grids(cases, grids.shape[1:], generator)
    fresh = partial(build_network, backbone, **description["head"], classes=network.classes)
    similarity = randomised_similarity(
        network, partial(fresh, seed=SEED), images, pairs, grids, method, params.batch_size
    )
    scores = score(cases, maps, similarity, params.t_iobb, params.t_iou, heats)

    write_parquet(f"localization/{backbone}/detections.parquet", scores.overlaps)
    write_heatmaps(f"localization/{backbone}/heatmaps.npz", pairs, grids)
    for name, table in scores.tables.items():
        write_csv(f"metrics/localize/{backbone}/{name}.csv", table)
    without = drawn["image"].nunique() - pairs["image"].nunique()
    more = {"boxed_images_without_pixels": without, "phantom": int(phantom)}
    write_metrics(f"metrics/localize/{backbone}.json", scores.headline | more)
    title, predictions = f"{backbone}, {method}", f"predictions/{backbone}.parquet"
    shown = (pairs, grids, drawn, scores.overlaps, pd.read_parquet(predictions), heats)
    draw_sheets(f"plots/localize/{backbone}", images, *shown, title, phantom)
    n = f"{pairs['image'].nunique()} boxed images"
    Console().print(*printed(f"{title}, {n}", scores.tables, phantom))


if __name__ == "__main__":
    run(main, __doc__)
