"""Localize findings by heatmaps and score the boxes against the ground-truth boxes.

    python -m stages.localize_iobb --backbone alexnet

Heatmaps, detected boxes, IoBB and IoU with the ground-truth boxes; on phantoms also the overlap
with masks; control baselines and a sanity check (docs/explanation/localization.md).

Reads models/B, data/cache, data/records, data/split, predictions/B.parquet (split).
Writes localization/B/detections.parquet and heatmaps.npz, metrics/localize/B.json and the tables in
metrics/localize/B.
"""

from pathlib import Path

from rich.table import Table

from cxr14.config.localize import LocalizeParams, read_localize
from cxr14.console import print_tables
from cxr14.datasets.records import Source
from cxr14.evaluation.predictions import read_predictions
from cxr14.localization.evaluate import maps_of_model, read_inputs, write_localization
from cxr14.localization.overlap import Thresholds
from cxr14.localization.scores import Maps
from cxr14.report.terminal_localization import localization_tables
from stages import Backbone, run


def main(backbone: Backbone) -> None:
    """Run the stage."""
    params, inputs = read_localize(), read_inputs()
    predictions = read_predictions(f"predictions/{backbone}.parquet")
    maps = maps_of_model(Path("models", backbone), backbone, inputs, predictions, params)
    print_tables(*write_scores(Path(), backbone, maps, params, inputs.source))


def write_scores(
    root: Path, name: str, maps: Maps, params: LocalizeParams, source: Source
) -> list[Table]:
    """Score heatmaps and write the results below `root`; return tables for the terminal."""
    thresholds = Thresholds(params.t_iobb, params.t_iou, params.heat_thresholds)
    scores = write_localization(root, name, maps, thresholds, source)
    title = f"{name}, {maps.method}, {scores.headline['boxed_images']} boxed images"
    return localization_tables(title, scores.tables, source)


if __name__ == "__main__":
    run(main, __doc__)
