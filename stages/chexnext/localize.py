"""Localise by the students' heatmaps, and by their average, which is the ensemble's.

    python -m stages.chexnext.localize

Reads chexnext/models/students, chexnext/predictions, data/cache, data/records, params.yaml
(localize), chexnext/params.yaml (students).
Writes chexnext/localization/chexnext, chexnext/metrics/localize/chexnext.json, tables in
chexnext/metrics/localize/chexnext,
chexnext/plots/localize/chexnext; the same for each student in chexnext/singles.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from cxr14.chexnext.maps import averaged
from cxr14.chexnext.places import ENSEMBLE, ROOT, SINGLES, STUDENTS, Place, places
from cxr14.chexnext.terminal import show
from cxr14.data.cache import open_cache
from cxr14.evaluation.bootstrap import SEED
from cxr14.files import read_json
from cxr14.localization.detect import boxed_pairs
from cxr14.localization.maps import Maps, make_maps
from cxr14.localization.outputs import write_scores, write_sheets
from cxr14.localization.randomisation import OTHER_SEED
from cxr14.localization.scale import validation_images
from cxr14.localization.scorecard import score
from cxr14.localization.terminal import printed
from cxr14.models.network import build_network
from cxr14.models.store import load_model
from cxr14.params import localize
from cxr14.params.chexnext.networks import read_students
from cxr14.params.localize import LocalizeParams
from stages import run


def main() -> None:
    """Run the stage."""
    students, params = read_students(), localize.read()
    maps = []
    for own in places(STUDENTS, students.backbones, students.seeds):
        predictions = pd.read_parquet(SINGLES / f"predictions/{own.title}.parquet")
        maps.append(maps_of(own, params, predictions))
        write(SINGLES, own.title, maps[-1], params, predictions)
    predictions = pd.read_parquet(ROOT / f"predictions/{ENSEMBLE}.parquet")
    show(*write(ROOT, ENSEMBLE, averaged(maps, params.method), params, predictions))


def write(
    root: Path, name: str, maps: Maps, params: LocalizeParams, predictions: pd.DataFrame
) -> list[Table]:
    """Score heatmaps as the stage `localize-iobb` does, and write what it writes, below a folder.

    Args:
        root: that holds localization, metrics and plots.
        name: of the network, or of the ensemble.
        maps: of the boxed pairs.
        params: the block `localize`.
        predictions: for the captions.

    Returns:
        The tables for the terminal.
    """
    images, _ = open_cache("data/cache")
    phantom, heats = bool(read_json("data/records/source.json")["phantom"]), params.heat_thresholds
    scores = score(maps, params.t_iobb, params.t_iou, heats)
    write_scores(root, name, maps, scores, phantom)
    title = f"{name}, {params.method}"
    write_sheets(root, name, title, maps, scores, images, predictions, heats, phantom)
    n = scores.headline["boxed_images"]
    return printed(f"{title}, {n} boxed images", scores.tables, phantom)


def maps_of(place: Place, params: LocalizeParams, predictions: pd.DataFrame) -> Maps:
    """Compute one student's heatmaps, and what they are held against."""
    images, index = open_cache("data/cache")
    records = pd.read_parquet("data/records/images.parquet")
    boxes = pd.read_parquet("data/records/boxes.parquet")
    network, about = load_model(place.model)
    anew = {"seed": OTHER_SEED, "classes": network.classes} | about["head"]
    build = partial(build_network, place.backbone, **anew)
    drawn = boxes[boxes["finding"].isin(network.classes)]
    pairs = boxed_pairs(drawn, index, records)
    validation = validation_images(predictions, index, records)
    how = params.method, params.scaling, params.batch_size, np.random.default_rng(SEED)
    return make_maps(network, build, images, pairs, drawn, validation, *how)


if __name__ == "__main__":
    run(main, __doc__)
