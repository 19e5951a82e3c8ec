"""The files that localisation leaves of a backbone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.files import write_csv, write_metrics, write_parquet
from cxr14.localization.detect import write_heatmaps
from cxr14.localization.maps import Maps
from cxr14.localization.scorecard import Scores
from cxr14.localization.sheets import draw_sheets


def write_scores(
    root: str | Path, backbone: str, maps: Maps, scores: Scores, phantom: bool
) -> None:
    """Write localization/B/ (boxes, heatmaps) and metrics/localize/B.json with its tables in B/.

    Args:
        root: of the repository.
        backbone: B.
        maps: the first of them is the network's.
        scores: of these maps.
        phantom: whether these are phantoms.
    """
    found, metrics = Path(root, "localization", backbone), Path(root, "metrics/localize")
    write_parquet(found / "detections.parquet", scores.overlaps)
    write_heatmaps(found / "heatmaps.npz", maps.cases.pairs, next(iter(maps.grids.values())))
    for name, table in scores.tables.items():
        write_csv(metrics / backbone / f"{name}.csv", table.assign(phantom=int(phantom)))
    write_metrics(metrics / f"{backbone}.json", scores.headline | {"phantom": int(phantom)})


def write_sheets(
    root: str | Path,
    backbone: str,
    title: str,
    maps: Maps,
    scores: Scores,
    images: npt.NDArray[np.uint8],
    predictions: pd.DataFrame,
    heat_thresholds: Sequence[int],
    phantom: bool,
) -> None:
    """Draw plots/localize/B/<Finding>.png of the network's maps; see sheets.draw_sheets."""
    cases, grids = maps.cases, next(iter(maps.grids.values()))
    shown = cases.pairs, grids, cases.drawn, scores.overlaps, predictions, sorted(heat_thresholds)
    folder = Path(root, "plots/localize", backbone)
    draw_sheets(folder, images, *shown, title, phantom, cases.scaling)
