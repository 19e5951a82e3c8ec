"""One contact sheet per boxed finding: where the heatmaps hit best and where worst."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.boxes import to_cache
from cxr14.localization.detect import BOX, PLACE, Grids, heat_of
from cxr14.localization.overlap import Boxes
from cxr14.localization.overlay import Panel, best_and_worst, draw_sheet
from cxr14.localization.scoring import PAIR
from cxr14.wording import shown


def draw_sheets(
    folder: str | Path,
    images: npt.NDArray[np.uint8],
    pairs: pd.DataFrame,
    grids: Grids,
    drawn: pd.DataFrame,
    overlaps: pd.DataFrame,
    predictions: pd.DataFrame,
    heat_thresholds: Sequence[int],
    title: str,
    phantom: bool,
    scaling: str = "per_map",
) -> None:
    """Write <folder>/<Finding>.png for every finding with boxed images; other PNGs there go.

    Args:
        folder: plots/localize/B; made if missing.
        images: (N, S, S) uint8, the cache.
        pairs: P rows, as detect.boxed_pairs lists them.
        grids: (P, h, w).
        drawn: data/records/boxes.parquet.
        overlaps: detections with ``iobb`` and ``iou``.
        predictions: predictions/B.parquet, for the captions.
        heat_thresholds: of 255.
        title: begins the title of each sheet.
        phantom: whether to say that these are phantoms.
        scaling: per_map or fixed, as the grids were made.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    best = overlaps.groupby(PAIR)["iobb"].max()
    values = best.reindex(pd.MultiIndex.from_frame(pairs[PAIR])).fillna(0.0).to_numpy(float)
    for finding, group in pairs.reset_index(drop=True).groupby("finding"):
        places = group.index.to_numpy()
        chosen = places[best_and_worst(list(group["image"]), values[places])]
        truth, found = (table[table["finding"] == finding] for table in (drawn, overlaps))
        chance = predictions.set_index("image")[f"probability {finding}"]
        panels = [
            _panel(
                pairs.iloc[place],
                images[pairs["row"].iloc[place]],
                grids[place],
                truth,
                found,
                heat_thresholds,
                f"p {shown(chance.get(pairs['image'].iloc[place]), 2)}, "
                + (f"best IoBB {shown(values[place], 2)}" if grids[place].any() else "no heat"),
                scaling,
            )
            for place in chosen
        ]
        about = f"{len(panels)} of {len(group)} boxed images, best and worst by IoBB"
        draw_sheet(folder / f"{finding}.png", f"{title}, {finding}: {about}", panels, phantom)


def _panel(
    pair: "pd.Series[Any]",
    image: npt.NDArray[np.uint8],
    grid: npt.NDArray[np.float16],
    drawn: pd.DataFrame,
    found: pd.DataFrame,
    heat_thresholds: Sequence[int],
    caption: str,
    scaling: str,
) -> Panel:
    def boxes_of(table: pd.DataFrame) -> Boxes:
        own = table.loc[table["image"] == pair["image"], BOX].to_numpy(np.float64)
        return to_cache(own, *pair[PLACE].to_numpy(np.float64))

    detected = {t: boxes_of(found[found["heat_threshold"] == t]) for t in heat_thresholds}
    heat = heat_of(grid, image.shape[0], scaling)
    return Panel(image, heat, boxes_of(drawn), detected, f"{pair['image']}\n{caption}")
