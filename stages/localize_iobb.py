"""Localise boxed findings by heatmap and hold the boxes against the radiologists'.

    python -m stages.localize_iobb --backbone alexnet

Heatmaps at cache resolution, boxes around what is hot, IoBB and IoU with the drawn boxes; the same
for heatmaps that no network made and for other weights (docs/localization.md).

Reads models/B, data/cache, data/records, predictions/B.parquet (captions; what is val and test).
Writes localization/B/detections.parquet and heatmaps.npz, metrics/localize/B.json and
the tables in metrics/localize/B, plots/localize/B/FINDING.png.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cxr14.evaluation.stored import read_predictions
from cxr14.localization.scoring import Limits
from cxr14.localization.sequence import maps_of_model, read_inputs, write_localization
from cxr14.params import localize
from stages import run


def main(backbone: Annotated[str, typer.Option(help="which of models/ to use")]) -> None:
    """Run the stage."""
    params, inputs = localize.read(), read_inputs()
    limits = Limits(params.t_iobb, params.t_iou, params.heat_thresholds)
    predictions = read_predictions(f"predictions/{backbone}.parquet")
    maps = maps_of_model(
        Path("models", backbone),
        backbone,
        inputs,
        predictions,
        method=params.method,
        scaling=params.scaling,
        batch_size=params.batch_size,
    )
    Console().print(*write_localization(Path(), backbone, inputs, predictions, maps, limits))


if __name__ == "__main__":
    run(main, __doc__)
