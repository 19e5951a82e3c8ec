"""Relabel train and val by the average of the selected members; test is unchanged (checked).

Each finding is binarized at the threshold of highest F1 on validation. An image of train is
relabelled by the members that were not trained on it (without folds by all). Students learn the new
labels of train; the new labels of val are written, but no choice uses them.

    python -m stages.chexnext.relabel

Reads chexnext/selection, chexnext/logits/members, chexnext/models/members, chexnext/data,
data/split, data/records, data/cache, chexnext/params.yaml (members, relabel).
Writes chexnext/data/relabelled (labels.parquet, students.parquet, probabilities.npy),
chexnext/metrics/relabel.json, relabel/label_changes.csv, thresholds.csv and adjudicated.csv
(agreement with radiologists' labels of train-val, on real images, with intervals by patient), and
chexnext/plots/relabel.csv (the most confident label changes; the stage report draws them).
"""

from cxr14.chexnext.ensemble import read_chosen
from cxr14.chexnext.label_changes import write_label_changes
from cxr14.chexnext.paths import LABELS, MEMBERS, align_to_cache, network_paths, read_classes
from cxr14.chexnext.relabel import relabel_by_members, write_relabelled
from cxr14.config.chexnext import read_members, read_relabel
from cxr14.console import print_tables
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.report.terminal import label_changes_summary
from stages import run


def main() -> None:
    """Run the stage."""
    params, mode, source, chosen = read_members(), read_relabel().mode, read_source(), read_chosen()
    networks = network_paths(MEMBERS, params.backbones, params.seeds)
    members = [network for network in networks if network.name in chosen]
    fold_of = {member.name: params.fold_of(member.seed) for member in members}
    classes = read_classes(members[0])
    records, split = read_records(LABELS), read_split()
    cached = align_to_cache("data/cache", records, split)

    relabelling = relabel_by_members(members, fold_of, params.folds, cached, classes)
    after = write_relabelled(records, cached, split, relabelling, classes, mode)
    changes = write_label_changes(cached, after, relabelling, classes, source)
    print_tables(label_changes_summary(changes, "train", mode, source))


if __name__ == "__main__":
    run(main, __doc__)
