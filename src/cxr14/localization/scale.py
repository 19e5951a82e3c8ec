"""What heat counts as 255: the map's own maximum, or one value for all maps of a finding.

A threshold of 60 or 180 means nothing without it. ``per_map`` is Wang's: every map is stretched from
its minimum to its maximum, so the hottest pixel of every map is 255, however little heat there is.
``fixed`` keeps weak maps weak: 0 stays 0 (negative heat too) and 255 is the **top** of the finding,
the median, over validation images labelled with it, of the hottest pixel. Half of such images reach
it: in a typical one the thresholds lie where ``per_map`` puts them, in a fainter one higher. Only
validation images are asked, so no test image has a say in another's boxes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.localization.saliency import heat_grids

if TYPE_CHECKING:
    from cxr14.models.network import Network

IMAGES = 100
"""Validation images asked per finding, at most: the interval of a median of 100 is narrow enough."""

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


def own_scale(findings: Sequence[str]) -> pd.DataFrame:
    """Give the table of :func:`fixed_scale` for scaling = per_map: nothing is fixed."""
    table = pd.DataFrame({"finding": list(findings)})
    return table.assign(scaling="per_map", images=0, top=np.nan, reason=OWN_RANGE)


def fixed_scale(
    network: "Network",
    cache: npt.NDArray[np.uint8],
    validation: pd.DataFrame,
    findings: Sequence[str],
    method: str,
    batch_size: int,
) -> pd.DataFrame:
    """Find the top of each finding's scale.

    Args:
        network: in eval mode.
        cache: (N, S, S) uint8.
        validation: as :func:`validation_images` lists them.
        findings: among the network's classes.
        method: one of saliency.METHODS.
        batch_size: images per forward pass.

    Returns:
        finding, scaling, images (that were asked), top (heat that becomes 255, above 0) and reason,
        empty where the top is the finding's own.

    Raises:
        ValueError: no finding has a top of its own.
    """
    asked = {name: _evenly(validation.loc[validation[name] == 1, "row"]) for name in findings}
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *asked.values()]))
    classes = [network.classes.index(name) for name in findings]
    grids = heat_grids(network, cache, rows, classes, method, batch_size)
    hottest = pd.DataFrame(grids.max(axis=(2, 3)), rows, list(findings))
    own = pd.Series(
        {name: hottest.loc[asked[name], name].median() for name in findings}, dtype=float
    )
    own = own.where(own > 0)
    if own.isna().all() and len(own):
        raise ValueError(
            "localize.scaling = fixed needs heat in validation images labelled with a boxed "
            "finding, and there is none; set localize.scaling to per_map"
        )
    counts = [len(asked[name]) for name in findings]
    lacking = [NO_HEAT if count else NOT_LABELLED for count in counts]
    reasons = [why if none else "" for why, none in zip(lacking, own.isna(), strict=True)]
    table = pd.DataFrame({"finding": list(findings), "scaling": "fixed", "images": counts})
    return table.assign(top=own.fillna(own.median()).to_numpy(), reason=reasons)


def tops_of(scale: pd.DataFrame) -> dict[str, float] | None:
    """Return the tops by finding, as detect.grids_of_pairs takes them; None for per_map."""
    if (scale["scaling"] == "per_map").all():
        return None
    return dict(zip(scale["finding"], scale["top"], strict=True))


def _evenly(rows: "pd.Series[int]") -> npt.NDArray[np.int64]:
    """Take at most IMAGES of the rows, evenly over their order."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), IMAGES)).round().astype(int)
    return rows.to_numpy(np.int64)[places]
