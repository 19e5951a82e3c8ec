"""One contact sheet per boxed finding: where the heatmaps hit best and where worst."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.boxes import to_cache
from cxr14.localization.detect import PLACE, heat_of
from cxr14.localization.maps import Maps
from cxr14.localization.overlap import BOX, Boxes
from cxr14.localization.overlay import Panel, best_and_worst, draw_sheet
from cxr14.localization.scoring import PAIR
from cxr14.wording import shown


def draw_sheets(
    folder: str | Path,
    title: str,
    maps: Maps,
    overlaps: pd.DataFrame,
    *,
    images: npt.NDArray[np.uint8],
    predictions: pd.DataFrame,
    heat_thresholds: Sequence[int],
    phantom: bool,
) -> None:
    """Write <folder>/<Finding>.png for every finding with boxed images; other PNGs there go.

    Args:
        folder: plots/localize/B; made if missing.
        title: begins the title of each sheet.
        maps: the network's are drawn.
        overlaps: their detections with ``iobb`` and ``iou``.
        images: (N, S, S) uint8, the cache.
        predictions: predictions/B.parquet, for the captions.
        heat_thresholds: of 255.
        phantom: whether to say that these are phantoms.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    pairs = maps.cases.pairs
    best = overlaps.groupby(PAIR)["iobb"].max()
    values = best.reindex(pd.MultiIndex.from_frame(pairs[PAIR])).fillna(0.0).to_numpy(float)
    for finding, group in pairs.reset_index(drop=True).groupby("finding"):
        places = group.index.to_numpy()
        chosen = places[best_and_worst(list(group["image"]), values[places])]
        chance = predictions.set_index("image")[f"probability {finding}"]
        panels = []
        for place in chosen:
            image = pairs["image"].iloc[place]
            hit = f"best IoBB {shown(values[place], 2)}" if maps.own[place].any() else "no heat"
            caption = f"{image}\np {shown(chance.get(image), 2)}, {hit}"
            panels.append(_panel(maps, place, overlaps, images, heat_thresholds, caption))
        about = f"{len(panels)} of {len(group)} boxed images, best and worst by IoBB"
        draw_sheet(folder / f"{finding}.png", f"{title}, {finding}: {about}", panels, phantom)


def _panel(
    maps: Maps,
    place: int,
    overlaps: pd.DataFrame,
    images: npt.NDArray[np.uint8],
    heat_thresholds: Sequence[int],
    caption: str,
) -> Panel:
    cases = maps.cases
    pair = cases.pairs.iloc[place]

    def boxes_of(table: pd.DataFrame) -> Boxes:
        own = table.loc[(table[PAIR] == pair[PAIR]).all(axis=1), BOX].to_numpy(np.float64)
        return to_cache(own, *pair[PLACE].to_numpy(np.float64))

    detected = {t: boxes_of(overlaps[overlaps["heat_threshold"] == t]) for t in heat_thresholds}
    heat = heat_of(maps.own[place], cases.size, cases.scaling)
    return Panel(images[pair["row"]], heat, boxes_of(cases.drawn), detected, caption)
