"""Normalization of heatmaps to 0–255, and cross-fitted heat thresholds.

``per_map`` (Wang et al. 2017) scales each map from its minimum to its maximum. ``fixed`` keeps 0 at
0 (negative heat becomes 0); 255 is one value for all maps of a finding, the **top**: the median of
the hottest pixel over validation images labelled with it. Only validation images set the scale.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError
from cxr14.localization.boxes import Rule, hits_and_false_boxes
from cxr14.localization.cam import heat_grids
from cxr14.localization.scores import BoxedPairs, plain_means
from cxr14.metrics.auroc import Floats

if TYPE_CHECKING:
    from cxr14.models.network import Network


MAX_IMAGES = 100
"""Maximum number of validation images per finding, which limits the run time."""

OWN_RANGE = "each map by its own minimum and maximum"
NOT_LABELLED = "no validation image is labelled so: median of the other findings"
NO_HEAT = "half of its validation images have no heat: median of the other findings"


def validation_images(
    predictions: pd.DataFrame, index: pd.DataFrame, images: pd.DataFrame
) -> pd.DataFrame:
    """List the validation images that have pixels, by name, with their row and their labels.

    Args:
        predictions: predictions/B.parquet, which holds images of val and test.
        index: data/cache/index.parquet, for the row.
        images: data/records/images.parquet, for the labels.
    """
    names = predictions.loc[predictions["split"] == "val", ["image"]].sort_values("image")
    rows = names.merge(index[["image", "row"]], on="image", validate="one_to_one")
    return rows.merge(images, on="image", validate="one_to_one")


def heat_scale(
    scaling: str,
    network: "Network",
    cache: npt.NDArray[np.uint8],
    validation: pd.DataFrame,
    findings: Sequence[str],
    method: str,
    batch_size: int,
) -> pd.DataFrame:
    """Compute for each finding the heat that maps to 255.

    Args:
        scaling: per_map or fixed.
        network: in eval mode.
        cache: (N, S, S) uint8.
        validation: as :func:`validation_images` lists them; used for ``fixed`` only.
        findings: among the network's classes.
        method: one of cam.METHODS.
        batch_size: images per forward pass.

    Returns:
        finding, scaling, images (number used), top (heat that becomes 255, above 0; null for
        ``per_map``) and reason (null where the top is from the finding's images).

    Raises:
        UserError: no finding has heat in its validation images.
    """
    table = pd.DataFrame({"finding": list(findings)}).assign(scaling=scaling)
    if scaling == "per_map":
        return table.assign(images=0, top=np.nan, reason=OWN_RANGE)
    sampled = {name: _evenly(validation.loc[validation[name] == 1, "row"]) for name in findings}
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *sampled.values()]))
    classes = [network.classes.index(name) for name in findings]
    grids = heat_grids(network, cache, rows, classes, method, batch_size)
    hottest = pd.DataFrame(grids.max(axis=(2, 3)), rows, list(findings))
    medians = [
        hottest.loc[rows_of_finding, name].median() for name, rows_of_finding in sampled.items()
    ]  # NaN without images
    counts = [len(rows_of_finding) for rows_of_finding in sampled.values()]
    return _fill_missing(table.assign(images=counts, top=np.asarray(medians, np.float64)))


def _fill_missing(table: pd.DataFrame) -> pd.DataFrame:
    """Fill missing tops with the median of the others, and add the reason."""
    top = table["top"].where(table["top"] > 0)
    if len(top) and top.isna().all():
        raise UserError(
            "localize.scaling = fixed needs heat in validation images labelled with a boxed "
            "finding, and there is none; set localize.scaling to per_map"
        )
    reason = np.where(table["images"] > 0, NO_HEAT, NOT_LABELLED)
    return table.assign(
        top=top.fillna(top.median()), reason=pd.Series(reason).where(top.isna(), None)
    )


def scale_by_finding(scale: pd.DataFrame) -> dict[str, float] | None:
    """Return the heat that maps to 255 by finding, for detect.grids_of_pairs; None for per_map."""
    if (scale["scaling"] == "per_map").all():
        return None
    return dict(zip(scale["finding"], scale["top"], strict=True))


def _evenly(rows: "pd.Series[int]") -> npt.NDArray[np.int64]:
    """Take at most IMAGES of the rows, evenly over their order."""
    indices = np.linspace(0, len(rows) - 1, min(len(rows), MAX_IMAGES)).round().astype(int)
    return np.asarray(rows.to_numpy(np.int64)[indices])


# Cross-fitted heat threshold: chosen on each half of the boxed patients, scored on the other half.
#
# The choice: of GRID, the threshold with the highest mean accuracy over findings; of ties the one
# with the fewest false boxes, then the lowest. It is chosen for each measure and each T.


GRID: Final = tuple(range(30, 241, 30))  # 60 and 180 are among them


class CrossFit(NamedTuple):
    """Scores of each pair at the threshold chosen on the other half of the patients."""

    hits: Floats  # (P, K) of 0 and 1; NaN if the other half is empty
    false_boxes: Floats  # (P, K) boxes that are no hit
    chosen: list[tuple[int | None, ...]]  # K: on the first half, on the second


def crossfit(
    boxed: BoxedPairs, overlaps: pd.DataFrame, limits: Sequence[tuple[str, float]]
) -> CrossFit:
    """Choose on each half, score on the other.

    Args:
        boxed: the boxed pairs and the halves.
        overlaps: their detections at every threshold of :data:`GRID`, with overlaps.
        limits: K pairs of a measure (iobb or iou) and T.
    """
    first, second = ~boxed.second_half, boxed.second_half
    hits, false_boxes = np.full((2, len(boxed.pairs), len(limits)), np.nan)
    chosen = []
    for column, (measure, limit) in enumerate(limits):
        rules = [Rule(measure, limit, heat) for heat in GRID]
        hit_at, false_at = hits_and_false_boxes(boxed.pairs, overlaps, rules)  # (P, thresholds)
        best_indices = [
            _best_threshold_index(boxed, hit_at, false_at, half) for half in (first, second)
        ]
        for index, scored_half in zip(best_indices, (second, first), strict=True):
            if index is not None:
                hits[scored_half, column], false_boxes[scored_half, column] = (
                    hit_at[scored_half, index],
                    false_at[scored_half, index],
                )
        chosen.append(tuple(None if index is None else GRID[index] for index in best_indices))
    return CrossFit(hits, false_boxes, chosen)


def _best_threshold_index(
    boxed: BoxedPairs,
    hit: npt.NDArray[np.bool_],
    false: npt.NDArray[np.int64],
    half: npt.NDArray[np.bool_],
) -> int | None:
    """Index in GRID of the threshold chosen on a half; None if the half is empty."""
    if not half.any():
        return None
    accuracy, afp = (
        plain_means(values[half], boxed.finding_of_pair[half], boxed.findings)[-1]
        for values in (hit, false)
    )
    return int(np.lexsort((np.array(GRID), afp, -accuracy))[0])
