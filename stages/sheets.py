"""Draw contact sheets per finding: radiographs, heatmaps, ground-truth and detected boxes.

    python -m stages.sheets

The sheets of several backbones are drawn at once, in one process per core.

Reads localization/B and predictions/B.parquet (captions) of every backbone B of train.backbones,
data/cache, data/records, params.yaml (localize, train.backbones).
Writes plots/localize/B/FINDING.png.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from cxr14.config.blocks import read_train
from cxr14.config.localize import LocalizeParams, read_localize
from cxr14.console import track
from cxr14.datasets.records import read_boxes, read_records, read_source
from cxr14.errors import UserError
from cxr14.evaluation.predictions import read_predictions
from cxr14.figures.overlays import Localized, draw_sheets
from cxr14.io import Kind, end_with_parent, read_parquet, unusable
from cxr14.localization.heatmaps import boxed_pairs, read_heatmaps
from cxr14.localization.overlap import BOX, PAIR
from cxr14.preprocessing.cache import open_cache
from stages import run

DETECTIONS: Final[dict[str, Kind]] = {
    **{column: "text" for column in PAIR},
    **{column: "number" for column in ("heat_threshold", *BOX, "iobb", "iou")},
}
"""Columns of localization/B/detections.parquet that are drawn."""


def main() -> None:
    """Run the stage."""
    backbones = read_train().backbones
    draw_all([Path()] * len(backbones), backbones, read_localize())


def draw_all(roots: Sequence[Path], names: Sequence[str], params: LocalizeParams) -> None:
    """Draw the sheets of several networks, at most one per core at a time.

    Args:
        roots: folder of the results of each network, see :func:`draw`.
        names: of the networks.
        params: the block localize.

    Raises:
        UserError: a file is missing or damaged, or a process was killed.
    """
    workers = min(os.cpu_count() or 1, len(names))
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent) as pool:
        apply = pool.map if workers > 1 else map  # the pool starts its processes when it is used
        drawn = apply(draw, roots, names, repeat(params))
        try:
            for _ in track(drawn, "draw", "networks", total=len(names)):
                pass
        except BrokenProcessPool:
            raise UserError(
                f"a process that draws contact sheets of {', '.join(names)} was killed (out of "
                f"memory?); run the same command again"
            ) from None


def draw(root: Path, name: str, params: LocalizeParams) -> None:
    """Draw the sheets of a network or an ensemble, whose results are in the folder `root`.

    Raises:
        UserError: a file is missing or damaged, or the heatmaps are not of the boxed images.
    """
    folder, (images, index) = root / "localization" / name, open_cache()
    keys, grids = read_heatmaps(folder / "heatmaps.npz")
    boxes = read_boxes()
    pairs = keys.merge(boxed_pairs(boxes, index, read_records()), on=PAIR, validate="one_to_one")
    if len(pairs) < len(keys):
        raise unusable(folder / "heatmaps.npz", "is not of the boxed images in data/cache")
    detections = read_parquet(folder / "detections.parquet", DETECTIONS)
    draw_sheets(
        root / "plots/localize" / name,
        f"{name}, {params.method}",
        Localized(pairs, grids, params.scaling, boxes, detections),
        images=images,
        predictions=read_predictions(root / f"predictions/{name}.parquet"),
        heat_thresholds=params.heat_thresholds,
        source=read_source(),
    )


if __name__ == "__main__":
    run(main, __doc__)
