"""Localize findings by heatmaps and score the boxes against the ground-truth boxes.

    python -m stages.localize_iobb --backbone alexnet

Heatmaps at cache resolution, detected boxes, IoBB and IoU with the ground-truth boxes; control
baselines and a sanity check (docs/explanation/localization.md).

Reads models/B, data/cache, data/records, data/split, predictions/B.parquet (captions; split).
Writes localization/B/detections.parquet and heatmaps.npz, metrics/localize/B.json and the tables in
metrics/localize/B, plots/localize/B/FINDING.png.
"""

from pathlib import Path

import pandas as pd
from rich.table import Table

from cxr14.config.blocks import LocalizeParams, read_localize
from cxr14.console import print_tables
from cxr14.evaluation.predictions import read_predictions
from cxr14.figures.overlays import draw_sheets
from cxr14.localization.boxes import Thresholds
from cxr14.localization.evaluate import Inputs, maps_of_model, read_inputs, write_localization
from cxr14.localization.scores import Maps
from cxr14.report.terminal import localization_tables
from stages import Backbone, run


def main(backbone: Backbone) -> None:
    """Run the stage."""
    params, inputs = read_localize(), read_inputs()
    predictions = read_predictions(f"predictions/{backbone}.parquet")
    settings = params.model_dump(include={"method", "scaling", "batch_size"})
    maps = maps_of_model(Path("models", backbone), backbone, inputs, predictions, **settings)
    print_tables(*present(Path(), backbone, inputs, predictions, maps, params))


def present(
    root: Path,
    name: str,
    inputs: Inputs,
    predictions: pd.DataFrame,
    maps: Maps,
    params: LocalizeParams,
) -> list[Table]:
    """Score heatmaps, write the results and contact sheets; return tables for the terminal."""
    heats, source, title = params.heat_thresholds, inputs.source, f"{name}, {maps.method}"
    thresholds = Thresholds(params.t_iobb, params.t_iou, heats)
    scores = write_localization(root, name, maps, thresholds, source)
    draw_sheets(
        root / "plots/localize" / name,
        title,
        maps,
        scores.overlaps,
        images=inputs.images,
        predictions=predictions,
        heat_thresholds=heats,
        source=source,
    )
    boxed = scores.headline["boxed_images"]
    return localization_tables(f"{title}, {boxed} boxed images", scores.tables, source)


if __name__ == "__main__":
    run(main, __doc__)
