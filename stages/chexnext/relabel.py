"""Relabel train and val by the average of the selected members; test stays as it is, asserted.

Each finding is binarised at the threshold of highest F1 on validation. An image of train is judged
by the members that did not train on it (in the plain form by all). Students learn the new labels of
train; the new labels of val are written beside them, but nothing is chosen by those.

    python -m stages.chexnext.relabel

Reads chexnext/selection, chexnext/logits/members, chexnext/models/members, chexnext/data,
data/split, data/records, data/cache, chexnext/params.yaml (members, relabel).
Writes chexnext/data/relabelled (labels.parquet, students.parquet, probabilities.npy),
chexnext/metrics/relabel.json, relabel/flips.csv, thresholds.csv and adjudicated.csv (agreement with
radiologists' labels of train-val, on real images, with intervals by patient), and
chexnext/plots/relabel.png.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxr14.chexnext.agreement import agreement_table
from cxr14.chexnext.ensemble import read_chosen
from cxr14.chexnext.folds import check_trained_by, check_unseen, folds_of
from cxr14.chexnext.paths import (
    LABELS,
    MEMBERS,
    RELABELLED,
    ROOT,
    Seen,
    places,
    read_logits,
    see,
    split_of_fold,
)
from cxr14.chexnext.relabel import Judgement, check_only_train_val, flips_table, judge, rewrite
from cxr14.config.chexnext import read_members, read_relabel
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.evaluation.adjudicated import MAPPING, read_adjudicated
from cxr14.figures import label_changes
from cxr14.figures.label_changes import draw_label_changes
from cxr14.io import write_csv, write_metrics, write_npy, write_parquet
from cxr14.labels import label_matrix, without_no_finding
from cxr14.models.serialization import read_description
from cxr14.preprocessing.cache import open_cache
from cxr14.report.summary_tables import label_changes_table, print_tables
from stages import run


def main() -> None:
    """Run the stage."""
    params, mode = read_members(), read_relabel().mode
    selected = read_chosen()
    members = [m for m in places(MEMBERS, params.backbones, params.seeds) if m.name in selected]
    fold_of = {own.name: params.fold_of(own.seed) for own in members}
    classes = read_description(members[0].model / "model.json")["classes"]
    records, split = read_records(LABELS), read_split()
    seen = see("data/cache", records, split)
    folds = folds_of(seen.images["image"], seen.within("train"), params.folds)
    for own in members if params.folds > 1 else ():
        by = split_of_fold(fold_of[own.name])
        check_trained_by(by, read_description(own.model / "model.json"), own.title)
        mine = seen.images["image"][folds == fold_of[own.name]]
        check_unseen(mine, read_split(by), own.title)

    answers = {own.name: read_logits(own.logits, len(seen.rows), classes) for own in members}
    labels, val = label_matrix(seen.images, classes), seen.within("val")
    judged = judge(answers, fold_of, params.folds, folds, val, labels, classes)
    inside, train = seen.within("train", "val"), seen.within("train")
    new, students = (
        rewrite(records, seen.rows[own], judged.present[own], classes, mode)
        for own in (inside, train)
    )
    for table in (new, students):
        check_only_train_val(records, table, split["split"].to_numpy(str))
    write_parquet(RELABELLED / "labels.parquet", new)
    write_parquet(RELABELLED / "students.parquet", students)
    write_npy(RELABELLED / "probabilities.npy", judged.probabilities.astype(np.float32))
    write_report(seen, new.iloc[seen.rows].reset_index(drop=True), judged, classes, mode)


def write_report(
    seen: Seen, after: pd.DataFrame, judged: Judgement, classes: Sequence[str], mode: str
) -> None:
    """Write and show what relabelling did.

    Args:
        seen: the images of the cache, with their labels before.
        after: their records after it.
        judged: what the members said of them.
        classes: what the members predict.
        mode: replace or union.
    """
    phantom, train = bool(read_source()["phantom"]), seen.within("train")
    true = read_records().iloc[seen.rows] if phantom else None
    findings = without_no_finding(classes)
    tables = (seen.images, after, *([] if true is None else [true]))
    old, now, *truth = (table[findings].to_numpy() > 0 for table in tables)
    flips = flips_table(old, now, truth[0] if truth else None, seen.parts, findings)
    adjudicated = read_adjudicated(part="val")
    agreed = agreement_table(seen.images, after, seen.parts, adjudicated, MAPPING, phantom)
    written = {
        "flips": flips,
        "thresholds": label_changes.thresholds_table(judged),
        "adjudicated": agreed,
    }
    metrics = ROOT / "metrics"
    for name, table in written.items():
        write_csv(metrics / f"relabel/{name}.csv", table.assign(phantom=int(phantom)))
    numbers = label_changes.headline(flips, seen.images[train], after[train])
    write_metrics(metrics / "relabel.json", numbers | {"phantom": int(phantom)})
    images, _ = open_cache("data/cache")
    sheet = label_changes.confident_label_changes(seen.images, after, true, judged, images, classes)
    draw_label_changes(ROOT / "plots/relabel.png", sheet, phantom)
    print_tables(label_changes_table(flips, "train", mode, phantom))


if __name__ == "__main__":
    run(main, __doc__)
