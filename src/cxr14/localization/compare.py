"""Comparison of the heatmaps and boxes of the work tree with those of another run."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.datasets.records import BOXES, RECORDS
from cxr14.errors import UserError
from cxr14.evaluation.compare import DIFFERENCE
from cxr14.evaluation.revisions import (
    INDEX,
    Files,
    Folder,
    compare_predictions,
    open_run,
    read_object,
    read_table,
)
from cxr14.localization.heatmaps import DAMAGED, boxed_pairs, load_heatmaps
from cxr14.localization.means import by_finding
from cxr14.localization.overlap import (
    BOX,
    PAIR,
    POOLED,
    Rule,
    hits_and_false_boxes,
)
from cxr14.localization.pointing import MEASURES, score_maps
from cxr14.localization.scores import gather
from cxr14.metrics.auroc import Floats
from cxr14.metrics.bootstrap import (
    N_REPLICATES,
    SEED,
    draw_replicates,
    enough_patients,
    patients_by_class,
)
from cxr14.metrics.intervals import summary

HIT: Final = Rule("iobb", 0.1, POOLED)
BOX_MEASURES: Final = ("mean_accuracy_iobb_t10", "mean_pointing")
"""Means over the boxed findings, named as in metrics/localize/B.json."""

PREPROCESS: Final = "metrics/preprocess.json"

Row = dict[str, Any]


def compare_with_run(
    name: str, backbones: Sequence[str], n_replicates: int = N_REPLICATES
) -> tuple[pd.DataFrame, list[str]]:
    """Compare predictions and boxes of the work tree with those of a revision or a folder.

    Args:
        name: of the folder, or of a branch, tag, commit or experiment.
        backbones: to compare with those of the same name.
        n_replicates: number of bootstrap replicates.

    Returns:
        The rows and the notes of :func:`compare_predictions`, and those of the boxes.

    Raises:
        FileNotFoundError: the run or DVC's cache lacks a file.
        UserError: see :func:`compare_predictions`; or a file is damaged.
    """
    reference = open_run(name)
    table, notes = compare_predictions(reference, backbones, n_replicates)
    tables = []
    for backbone, of_backbone in table.groupby("backbone", sort=False):
        rows, note = compare_boxes(reference, str(backbone), n_replicates)
        boxes = pd.DataFrame(rows, columns=table.columns).assign(backbone=backbone)
        tables += [of_backbone, boxes] if rows else [of_backbone]
        notes.append(f"{backbone}: {note}")
    return pd.concat(tables, ignore_index=True), notes


@dataclass(frozen=True)
class BoxScores:
    """Scores of P pairs of one network.

    Attributes:
        pairs: image, finding, patient, and ground_truth: the coordinates of its boxes as text.
        values: (P, 2), the BOX_MEASURES of each pair.
        heat_thresholds: of the detected boxes.
    """

    pairs: pd.DataFrame
    values: Floats
    heat_thresholds: tuple[int, ...]


def localization_files(backbone: str) -> tuple[str, str]:
    """Return the paths of a network's heatmaps and its detected boxes."""
    return f"localization/{backbone}/heatmaps.npz", f"localization/{backbone}/detections.parquet"


def read_box_scores(run: Files, backbone: str) -> BoxScores:
    """Score the heatmaps and the detected boxes of a network.

    Raises:
        FileNotFoundError: the run or DVC's cache lacks a file.
        UserError: a file is damaged.
    """
    heatmaps, detected = localization_files(backbone)
    content = BytesIO(run.read(heatmaps))
    try:
        names, grids = load_heatmaps(content)
    except DAMAGED:
        raise UserError(f"{heatmaps} of {run.name} is damaged: no heatmaps") from None
    detections, boxes = read_table(run, detected), read_table(run, BOXES)
    listed = boxed_pairs(boxes, read_table(run, INDEX), read_table(run, RECORDS))
    pairs = names.merge(listed, on=PAIR, validate="one_to_one")
    hits, _ = hits_and_false_boxes(pairs, detections, [HIT])
    scaling = "fixed" if (detections["scaling"] == "fixed").any() else "per_map"
    size, findings = int(read_object(run, PREPROCESS)["size"]), sorted(set(pairs["finding"]))
    boxed = gather(pairs, boxes, size, scaling, findings, np.random.default_rng(SEED), 0)
    points = score_maps(boxed, {"network": grids})["network"][:, MEASURES.index("pointing")]
    ordered = boxes.sort_values([*PAIR, *BOX])
    text = ordered[BOX].astype(float).round(3).astype(str).agg(" ".join, axis=1)
    ground_truth = (
        text.groupby([ordered[key] for key in PAIR]).agg("; ".join).rename("ground_truth")
    )
    return BoxScores(
        pairs[[*PAIR, "patient"]].join(ground_truth, on=PAIR),
        np.column_stack([hits[:, 0].astype(float), points]),
        tuple(sorted(set(detections["heat_threshold"]))),
    )


def compare_boxes(
    reference: Files, backbone: str, n_replicates: int = N_REPLICATES
) -> tuple[list[Row], str]:
    """Compare the boxes of one network of the work tree with those of another run.

    Only pairs with the same patient and the same ground-truth boxes are compared, so that the
    replicates are paired.

    Returns:
        A row per measure, as of :func:`compare_predictions`, none without a pair to compare; and a
        note on what is compared.
    """
    runs: tuple[Files, ...] = (Folder("."), reference)
    lacking = [run.name for run in runs if not all(map(run.has, localization_files(backbone)))]
    if lacking:
        where = " and ".join("the work tree" if name == "." else name for name in lacking)
        return [], f"no boxes compared, as {where} has no localization/{backbone}"
    here, there = (read_box_scores(run, backbone) for run in runs)
    indices, note = shared_pairs(here.pairs, there.pairs)
    if not len(indices):
        return [], f"no boxes compared: {note}"
    if here.heat_thresholds != there.heat_thresholds:
        note += f"; heat thresholds {here.heat_thresholds} here, {there.heat_thresholds} there"
    values = here.values[indices[:, 0]], there.values[indices[:, 1]]
    return difference_of_boxes(here.pairs.iloc[indices[:, 0]], *values, n_replicates), note


def shared_pairs(pairs: pd.DataFrame, reference: pd.DataFrame) -> tuple[npt.NDArray[Any], str]:
    """Find the pairs with the same patient and ground-truth boxes in two runs.

    Args:
        pairs: see :class:`BoxScores`.
        reference: same, of the other run.

    Returns:
        (K, 2) their indices in both, and a note on how many pairs are compared and not compared.
    """
    numbered = [
        table.assign(**{f"row_{i}": range(len(table))})
        for i, table in enumerate((pairs, reference))
    ]
    both = numbered[0].merge(numbered[1], on=PAIR, suffixes=("", "_reference"))
    same = (both["patient"] == both["patient_reference"]) & (
        both["ground_truth"] == both["ground_truth_reference"]
    )
    counts = {
        "only here": len(pairs) - len(both),
        "only there": len(reference) - len(both),
        "with other boxes or another patient": int((~same).sum()),
    }
    left = ", ".join(f"{count} {why}" for why, count in counts.items())
    note = f"boxes of {int(same.sum())} pairs compared; not compared {left}"
    return both.loc[same, ["row_0", "row_1"]].to_numpy(), note


def difference_of_boxes(
    pairs: pd.DataFrame, here: Floats, there: Floats, n_replicates: int = N_REPLICATES
) -> list[Row]:
    """Compare two networks on the same pairs and replicates, a row per measure.

    Args:
        pairs: image, finding and patient of K pairs.
        here: (K, 2) the BOX_MEASURES of one network.
        there: same, of the other.
        n_replicates: number of bootstrap replicates.
    """
    patients, findings = pairs["patient"].to_numpy(), pairs["finding"].to_numpy(str)
    replicates = draw_replicates(patients, np.random.default_rng(SEED), n_replicates)
    names = np.unique(findings)
    enough = enough_patients(patients_by_class(findings[:, None] == names, replicates.owner))
    reason = None
    if not enough.all():
        reason = f"no interval: too few patients of {', '.join(names[~enough])}"
    counts = {"images": pairs["image"].nunique(), "patients": len(replicates.counts)}
    weights = replicates.counts[replicates.owner].T.astype(np.int64)  # (1 + R, K)
    means = [
        by_finding(values, findings, names.tolist(), weights)[:, -1] for values in (here, there)
    ]
    rows = []
    for column, measure in enumerate(BOX_MEASURES):
        ours, theirs = (values[:, column] for values in means)
        difference = ours - theirs
        change = summary(difference[:1] if reason else difference)
        row: Row = {"measure": measure, "here": ours[0], "there": theirs[0]}
        row |= dict(zip(DIFFERENCE, change, strict=True))
        rows.append(row | counts | {"findings": len(names), "reason": reason})
    return rows
