"""Draw a contact sheet per finding: radiographs, heatmaps, ground-truth and detected boxes.

    python -m stages.sheets --backbone alexnet

Reads localization/B, predictions/B.parquet (captions), data/cache, data/records, params.yaml
(localize).
Writes plots/localize/B/FINDING.png.
"""

from pathlib import Path
from typing import Final

from cxr14.config.blocks import LocalizeParams, read_localize
from cxr14.datasets.records import read_boxes, read_records, read_source
from cxr14.evaluation.predictions import read_predictions
from cxr14.figures.overlays import Localized, draw_sheets
from cxr14.io import Kind, read_parquet, unusable
from cxr14.localization.heatmaps import boxed_pairs, read_heatmaps
from cxr14.localization.overlap import BOX, PAIR
from cxr14.preprocessing.cache import open_cache
from stages import Backbone, run

DETECTIONS: Final[dict[str, Kind]] = {
    **{column: "text" for column in PAIR},
    **{column: "number" for column in ("heat_threshold", *BOX, "iobb")},
}
"""Columns of localization/B/detections.parquet that are drawn."""


def main(backbone: Backbone) -> None:
    """Run the stage."""
    draw(Path(), backbone, read_localize())


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
