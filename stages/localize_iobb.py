"""Localise boxed findings by heatmap and hold the boxes against the radiologists'.

    python -m stages.localize_iobb --backbone alexnet

Heatmaps at cache resolution, boxes around what is hot, IoBB and IoU with the drawn boxes; the same
for heatmaps that no network made and for other weights (docs/localization.md).

Reads models/B, data/cache, data/records, predictions/B.parquet (captions; what is val and test).
Writes localization/B/detections.parquet and heatmaps.npz, metrics/localize/B.json and
the tables in metrics/localize/B, plots/localize/B/FINDING.png.
"""

from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from cxr14.data.cache import open_cache
from cxr14.evaluation.bootstrap import SEED
from cxr14.files import read_json
from cxr14.localization.detect import boxed_pairs, check_tested
from cxr14.localization.maps import make_maps
from cxr14.localization.outputs import write_scores, write_sheets
from cxr14.localization.randomisation import OTHER_SEED
from cxr14.localization.scale import validation_images
from cxr14.localization.scorecard import score
from cxr14.localization.terminal import printed
from cxr14.models.network import build_network
from cxr14.models.store import load_model
from cxr14.params import localize
from stages import run


def main(backbone: Annotated[str, typer.Option(help="which of models/ to use")]) -> None:
    """Run the stage."""
    params, (images, index) = localize.read(), open_cache("data/cache")
    phantom = bool(read_json("data/records/source.json")["phantom"])
    read = {name: pd.read_parquet(f"data/records/{name}.parquet") for name in ("boxes", "images")}
    predictions = pd.read_parquet(f"predictions/{backbone}.parquet")
    network, about = load_model(f"models/{backbone}")
    anew = {"seed": OTHER_SEED, "classes": network.classes} | about["head"]
    drawn = read["boxes"].loc[read["boxes"]["finding"].isin(network.classes)]
    pairs = boxed_pairs(drawn, index, read["images"])
    check_tested(pairs, predictions)
    validation = validation_images(predictions, index, read["images"])
    build, generator = partial(build_network, backbone, **anew), np.random.default_rng(SEED)
    how = params.method, params.scaling, params.batch_size, generator
    maps = make_maps(network, build, images, pairs, drawn, validation, *how)
    scores = score(maps, params.t_iobb, params.t_iou, params.heat_thresholds)

    write_scores(".", backbone, maps, scores, phantom)
    title, heats = f"{backbone}, {params.method}", params.heat_thresholds
    write_sheets(".", backbone, title, maps, scores, images, predictions, heats, phantom)
    title += f", {scores.headline['boxed_images']} boxed images"
    Console().print(*printed(title, scores.tables, phantom))


if __name__ == "__main__":
    run(main, __doc__)
