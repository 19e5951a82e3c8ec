"""What heat counts as 255: the map's own maximum, or one value for all maps of a finding.

A threshold of 60 or 180 means nothing without it. ``per_map`` is Wang's: each map is stretched
from its minimum to its maximum, so its hottest pixel is 255, however little heat there is, and for
CAM the zero of the heat lies anywhere. ``fixed`` keeps weak maps weak: 0 stays 0 (negative heat
becomes it) and 255 is the **top** of the finding: of validation images labelled with it, the median
of the hottest pixel. Half of them reach it, so in a typical map the thresholds lie where
``per_map`` puts them. Only validation images are asked: no test image has a say in another's boxes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.errors import UserError
from cxr14.localization.boxes import Rule, hits_and_false_boxes
from cxr14.localization.cam import heat_grids
from cxr14.localization.scores import Cases, plain_means
from cxr14.metrics.auroc import Floats

if TYPE_CHECKING:
    from cxr14.models.network import Network


IMAGES = 100
"""Validation images asked per finding, at most: on the real set all would take minutes of a GPU."""

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
    """Say for each finding what heat counts as 255.

    Args:
        scaling: per_map or fixed.
        network: in eval mode.
        cache: (N, S, S) uint8.
        validation: as :func:`validation_images` lists them; asked for ``fixed`` only.
        findings: among the network's classes.
        method: one of saliency.METHODS.
        batch_size: images per forward pass.

    Returns:
        finding, scaling, images (that were asked), top (heat that becomes 255, above 0; null for
        ``per_map``) and reason (null where the top is the finding's own).

    Raises:
        UserError: no finding has a top of its own.
    """
    table = pd.DataFrame({"finding": list(findings)}).assign(scaling=scaling)
    if scaling == "per_map":
        return table.assign(images=0, top=np.nan, reason=OWN_RANGE)
    asked = {name: _evenly(validation.loc[validation[name] == 1, "row"]) for name in findings}
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *asked.values()]))
    classes = [network.classes.index(name) for name in findings]
    grids = heat_grids(network, cache, rows, classes, method, batch_size)
    hottest = pd.DataFrame(grids.max(axis=(2, 3)), rows, list(findings))
    tops = [hottest.loc[own, name].median() for name, own in asked.items()]  # NaN: none was asked
    counts = [len(own) for own in asked.values()]
    return _completed(table.assign(images=counts, top=np.asarray(tops, np.float64)))


def _completed(table: pd.DataFrame) -> pd.DataFrame:
    """Give findings without a top of their own the median of the others, and the reason."""
    own = table["top"].where(table["top"] > 0)
    if len(own) and own.isna().all():
        raise UserError(
            "localize.scaling = fixed needs heat in validation images labelled with a boxed "
            "finding, and there is none; set localize.scaling to per_map"
        )
    reason = np.where(table["images"] > 0, NO_HEAT, NOT_LABELLED)
    return table.assign(
        top=own.fillna(own.median()), reason=pd.Series(reason).where(own.isna(), None)
    )


def tops_of(scale: pd.DataFrame) -> dict[str, float] | None:
    """Return the tops by finding, as detect.grids_of_pairs takes them; None for per_map."""
    if (scale["scaling"] == "per_map").all():
        return None
    return dict(zip(scale["finding"], scale["top"], strict=True))


def _evenly(rows: "pd.Series[int]") -> npt.NDArray[np.int64]:
    """Take at most IMAGES of the rows, evenly over their order."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), IMAGES)).round().astype(int)
    return np.asarray(rows.to_numpy(np.int64)[places])


# The best heat threshold, chosen on half of the boxed patients and scored on the other half.
#
# Wang's 60 and 180 suit their maps. How far would a threshold chosen for these go? Chosen and
# scored on the same boxes it would flatter itself, so each half is scored at the choice of the
# other: cross-fitted. The rule: of :data:`GRID`, the threshold with the highest mean accuracy over
# findings; if several, the one with the fewest false boxes; if still several, the lowest. It is
# chosen anew for each measure and each T.


GRID: Final = tuple(range(30, 241, 30))  # 60 and 180 are among them


class CrossFit(NamedTuple):
    """Scores of each pair at the threshold that the other half of the patients chose."""

    hits: Floats  # (P, K) of 0 and 1; NaN if the other half is empty
    wrong: Floats  # (P, K) boxes that are no hit
    chosen: list[tuple[int | None, ...]]  # K: on the first half, on the second


def crossfit(cases: Cases, overlaps: pd.DataFrame, limits: Sequence[tuple[str, float]]) -> CrossFit:
    """Choose on each half, score on the other.

    Args:
        cases: the boxed pairs and the halves.
        overlaps: their detections at every threshold of :data:`GRID`, with overlaps.
        limits: K pairs of a measure (iobb or iou) and T.
    """
    first, second = ~cases.second_half, cases.second_half
    hits, wrong = np.full((2, len(cases.pairs), len(limits)), np.nan)
    chosen = []
    for column, (measure, limit) in enumerate(limits):
        asked = [Rule(measure, limit, heat) for heat in GRID]
        hit, false = hits_and_false_boxes(cases.pairs, overlaps, asked)  # (P, thresholds)
        best = [_best(cases, hit, false, half) for half in (first, second)]
        for place, other in zip(best, (second, first), strict=True):
            if place is not None:
                hits[other, column], wrong[other, column] = hit[other, place], false[other, place]
        chosen.append(tuple(None if place is None else GRID[place] for place in best))
    return CrossFit(hits, wrong, chosen)


def _best(
    cases: Cases,
    hit: npt.NDArray[np.bool_],
    false: npt.NDArray[np.int64],
    half: npt.NDArray[np.bool_],
) -> int | None:
    """Place in GRID of the threshold that the rule chooses on a half; None if that is empty."""
    if not half.any():
        return None
    accuracy, afp = (
        plain_means(values[half], cases.finding_of_pair[half], cases.findings)[-1]
        for values in (hit, false)
    )
    return int(np.lexsort((np.array(GRID), afp, -accuracy))[0])
