"""Results: the table that the command prints and the app shows."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.serving.files import Failure, Input
from cxr14.serving.input_check import InputCheck
from cxr14.serving.predictor import BATCH, Predictions, Predictor
from cxr14.serving.refusals import refusals

COLUMNS: Final = (
    *("image", "finding", "probability", "threshold", "called", "uncalibrated", "spread"),
    *("remarks", "refusals", "distance", "forced", "phantom"),
)

SCORES: Final = ("probability", "uncalibrated", "spread", "called")


def score_inputs(
    predictor: Predictor, check: InputCheck | None, inputs: Sequence[Input], force: bool = False
) -> pd.DataFrame:
    """Check and score images.

    Args:
        predictor: network or ensemble.
        check: fitted on its training images; None to use only what files and remarks say.
        inputs: N images.
        force: whether to score refused images too.

    Returns:
        N × C rows, images in their order and classes in that of the network; :data:`COLUMNS`:
        image: name. finding: class. probability: calibrated, 0–1; NaN for a refused image and for
        a class without calibration. threshold: on the same scale; NaN without one, and where the
        calibration does not preserve the order of scores (see :func:`order_lost`). called: whether
        the uncalibrated probability is at or above the threshold of decision.json; NA for a
        refused image and for a class without one. uncalibrated: as in predictions/B.parquet.
        spread: standard deviation over an ensemble; NaN for one network. remarks, refusals: lists
        of text. distance: of the input check. forced: whether it was scored in spite of refusals.
        phantom: 0 or 1.
    """
    size = predictor.description.cached_size
    pixels = [item.shrunk.pixels for item in inputs]
    images = np.asarray(pixels or np.empty((0, size, size)), np.uint8)
    distances = np.full(len(inputs), np.nan) if check is None else check.distance(images)
    reasons = [
        refusals(item.shrunk, float(distance), item.faults)
        for item, distance in zip(inputs, distances, strict=True)
    ]
    scored = np.array([force or not why for why in reasons], bool)
    values = np.full((len(SCORES), len(inputs), len(predictor.classes)), np.nan)
    if scored.any():
        values[:, scored] = _scores(predictor.predict(images[scored]), predictor.thresholds)
    facts = {
        "image": [item.name for item in inputs],
        "remarks": [list(item.shrunk.remarks) for item in inputs],
        "refusals": reasons,
        "distance": distances,
        "forced": [force and bool(why) for why in reasons],
        "phantom": int(predictor.description.phantom),
    }
    return _by_class(pd.DataFrame(facts), values, predictor)


def _scores(
    predictions: Predictions, thresholds: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the columns of SCORES, each (N, C)."""
    spread = np.nan if predictions.spread is None else predictions.spread
    called = np.where(np.isnan(thresholds), np.nan, predictions.above)
    columns = predictions.calibrated, predictions.probabilities, spread, called
    return np.stack(np.broadcast_arrays(*columns)).astype(np.float64)


def _by_class(
    facts: pd.DataFrame, values: npt.NDArray[np.float64], predictor: Predictor
) -> pd.DataFrame:
    """Repeat the row of each image for every class, and add scores (columns, N, C)."""
    table = facts.loc[facts.index.repeat(len(predictor.classes))].reset_index(drop=True)
    table["finding"] = np.tile(predictor.classes, len(facts))
    table["threshold"] = np.tile(predictor.calibrated_thresholds, len(facts))
    table[[*SCORES]] = values.reshape(len(SCORES), -1).T
    table["called"] = table["called"].astype("boolean")
    return table[[*COLUMNS]]


def order_lost(table: pd.DataFrame) -> list[str]:
    """List the classes whose calibration does not preserve the order of scores (slope ≤ 0).

    They have a calibrated probability but no threshold on its scale.

    Args:
        table: of :func:`score_inputs`.
    """
    rows = table["probability"].notna() & table["threshold"].isna()
    return [str(name) for name in table["finding"][rows].unique()]


def order_remark(names: Iterable[str]) -> str:
    """Return the remark on the classes of :func:`order_lost`."""
    listed = ", ".join(names)
    return f"{listed}: no calibrated threshold (slope ≤ 0); called by the uncalibrated probability."


@dataclass(frozen=True)
class Batch:
    """Results of some files.

    Attributes:
        table: of :func:`score_inputs`.
        inputs: images, in the order of the table.
        failures: files that could not be read.
    """

    table: pd.DataFrame
    inputs: list[Input]
    failures: list[Failure]


def score_files(
    predictor: Predictor,
    check: InputCheck | None,
    read: Iterable[Input | Failure],
    force: bool = False,
) -> Iterator[Batch]:
    """Score files in batches; see :func:`score_inputs`.

    Args:
        predictor: network or ensemble.
        check: fitted on its training images.
        read: of :func:`cxr14.serving.files.read_files`.
        force: whether to score refused images too.
    """
    remaining = iter(read)
    while files := [*islice(remaining, BATCH)]:
        inputs = [item for item in files if isinstance(item, Input)]
        failures = [item for item in files if isinstance(item, Failure)]
        yield Batch(score_inputs(predictor, check, inputs, force), inputs, failures)


def pairs_to_explain(
    batch: Batch, predictor: Predictor, findings: Collection[str] = ()
) -> pd.DataFrame:
    """List the pairs of a batch whose heatmaps are wanted.

    Args:
        batch: scored images.
        predictor: that scored them.
        findings: all scored images are explained for these; none: the findings called in each.

    Returns:
        image, finding, row (of batch.inputs), probability, threshold, forced, scale, offset_x and
        offset_y.
    """
    from cxr14.localization.overlap import CACHE_TRANSFORM

    classes = len(predictor.classes)
    rows = batch.table.assign(row=np.arange(len(batch.table)) // classes)
    wanted = rows["finding"].isin(findings) if findings else rows["called"].fillna(False)
    scored = rows["uncalibrated"].notna() & rows["finding"].isin(predictor.findings)
    columns = ["image", "finding", "row", "probability", "threshold", "forced"]
    pairs = rows.loc[wanted & scored, columns]
    shrunk = [batch.inputs[row].shrunk for row in pairs["row"]]
    for name in CACHE_TRANSFORM:
        pairs[name] = np.array([getattr(image, name) for image in shrunk], np.float64)
    return pairs.reset_index(drop=True)
