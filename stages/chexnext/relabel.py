"""Relabel train and val by the average of the selected members; test is unchanged (checked).

Each finding is binarised at the threshold of highest F1 on validation. An image of train is
relabelled by the members that were not trained on it (without folds by all). Students learn the new
labels of train; the new labels of val are written, but not used for any choice.

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
    CachedImages,
    align_to_cache,
    network_paths,
    read_logits,
    split_of_fold,
)
from cxr14.chexnext.relabel import (
    Relabelling,
    check_only_train_val,
    label_changes_table,
    relabel,
    rewrite,
)
from cxr14.config.chexnext import read_members, read_relabel
from cxr14.console import print_tables
from cxr14.datasets.records import (
    read_records,
    read_source,
    read_split,
    write_result,
    write_table,
)
from cxr14.evaluation.adjudicated import MAPPING, read_adjudicated
from cxr14.figures import label_changes
from cxr14.figures.label_changes import draw_label_changes
from cxr14.io import write_npy, write_parquet
from cxr14.labels import label_matrix, without_no_finding
from cxr14.models.serialization import read_description
from cxr14.preprocessing.cache import open_cache
from cxr14.report.terminal import label_changes_summary
from stages import run


def main() -> None:
    """Run the stage."""
    params, mode = read_members(), read_relabel().mode
    selected = read_chosen()
    members = [
        m for m in network_paths(MEMBERS, params.backbones, params.seeds) if m.name in selected
    ]
    fold_of = {network.name: params.fold_of(network.seed) for network in members}
    classes = read_description(members[0].model / "model.json")["classes"]
    records, split = read_records(LABELS), read_split()
    cached = align_to_cache("data/cache", records, split)
    folds = folds_of(cached.images["image"], cached.within("train"), params.folds)
    for network in members if params.folds > 1 else ():
        split_path = split_of_fold(fold_of[network.name])
        check_trained_by(split_path, read_description(network.model / "model.json"), network.title)
        held_out_images = cached.images["image"][folds == fold_of[network.name]]
        check_unseen(held_out_images, read_split(split_path), network.title)

    logits = {
        network.name: read_logits(network.logits, len(cached.rows), classes) for network in members
    }
    labels, val = label_matrix(cached.images, classes), cached.within("val")
    relabelling = relabel(logits, fold_of, params.folds, folds, val, labels, classes)
    inside, train = cached.within("train", "val"), cached.within("train")
    new, students = (
        rewrite(records, cached.rows[network], relabelling.present[network], classes, mode)
        for network in (inside, train)
    )
    for table in (new, students):
        check_only_train_val(records, table, split["split"].to_numpy(str))
    write_parquet(RELABELLED / "labels.parquet", new)
    write_parquet(RELABELLED / "students.parquet", students)
    write_npy(RELABELLED / "probabilities.npy", relabelling.probabilities.astype(np.float32))
    write_report(cached, new.iloc[cached.rows].reset_index(drop=True), relabelling, classes, mode)


def write_report(
    cached: CachedImages,
    after: pd.DataFrame,
    relabelling: Relabelling,
    classes: Sequence[str],
    mode: str,
) -> None:
    """Write and print the results of relabelling.

    Args:
        cached: the images of the cache, with the old labels.
        after: their records with the new labels.
        relabelling: the mean probabilities and new labels.
        classes: the classes of the members.
        mode: replace or union.
    """
    source, train = read_source(), cached.within("train")
    true_records = read_records().iloc[cached.rows] if source.phantom else None
    findings = without_no_finding(classes)
    tables = (cached.images, after, *([] if true_records is None else [true_records]))
    old, now, *truth = (table[findings].to_numpy() > 0 for table in tables)
    changes = label_changes_table(old, now, truth[0] if truth else None, cached.splits, findings)
    adjudicated = read_adjudicated(split="val")
    agreement = agreement_table(cached.images, after, cached.splits, adjudicated, MAPPING, source)
    report_tables = {
        "flips": changes,
        "thresholds": label_changes.thresholds_table(relabelling),
        "adjudicated": agreement,
    }
    metrics = ROOT / "metrics"
    for name, table in report_tables.items():
        write_table(metrics / f"relabel/{name}.csv", table, source)
    numbers = label_changes.headline(changes, cached.images[train], after[train])
    write_result(metrics / "relabel.json", numbers, source)
    images, _ = open_cache("data/cache")
    sheet = label_changes.confident_label_changes(
        cached.images, after, true_records, relabelling, images, classes
    )
    draw_label_changes(ROOT / "plots/relabel.png", sheet, source)
    print_tables(label_changes_summary(changes, "train", mode, source))


if __name__ == "__main__":
    run(main, __doc__)
