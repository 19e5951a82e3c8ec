"""Score the networks of the second pipeline, and the averages of members and of students.

Thresholds and calibration are chosen on the labels of val before relabelling; of ensembles on the
logit of the mean probability. Test labels are those of data/records: true labels for phantoms,
else mined labels.

    python -m stages.chexnext.evaluate

Reads chexnext/logits, chexnext/models, chexnext/selection, chexnext/data/labels.parquet,
data/cache, data/split, data/records/source.json, chexnext/params.yaml (members, students).
Writes for the averages, `members` and `chexnext`, chexnext/predictions/NAME.parquet,
evaluation/NAME/decision.json, metrics/evaluate/NAME.json, tables in metrics/evaluate/NAME, curves
in plots/evaluate/NAME; the same for single networks in chexnext/singles;
chexnext/predictions/spread.parquet, the standard deviation of the students.
"""

import pandas as pd

from cxr14.chexnext.ensemble import Logits, logit_of_mean, read_chosen, spread
from cxr14.chexnext.paths import (
    ENSEMBLE,
    LABELS,
    MEMBERS,
    ROOT,
    SINGLES,
    STUDENTS,
    network_paths,
    read_logits,
)
from cxr14.config.chexnext import read_members, read_students
from cxr14.console import print_tables
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.evaluation.evaluate import score_logits
from cxr14.evaluation.predict import held_out
from cxr14.io import write_parquet
from cxr14.models.serialization import read_description
from cxr14.preprocessing.cache import open_cache
from cxr14.report.terminal import findings_table
from stages import run


def main() -> None:
    """Run the stage."""
    members, students = read_members(), read_students()
    chosen = set(read_chosen())
    groups = {
        MEMBERS: network_paths(MEMBERS, members.backbones, members.seeds),
        STUDENTS: network_paths(STUDENTS, students.backbones, students.seeds),
    }
    classes = read_description(groups[STUDENTS][0].model / "model.json")["classes"]
    _, index = open_cache("data/cache")
    listed = held_out(index, read_split())
    records, rows = read_records(LABELS), listed["row"].to_numpy()

    logits_by_name: dict[str, Logits] = {}
    averages: dict[str, list[Logits]] = {MEMBERS: [], ENSEMBLE: []}
    for network in (*groups[MEMBERS], *groups[STUDENTS]):
        logits_by_name[network.title] = read_logits(network.logits, len(index), classes)[rows]
        if network.group == STUDENTS or network.name in chosen:
            averages[ENSEMBLE if network.group == STUDENTS else MEMBERS].append(
                logits_by_name[network.title]
            )
    logits_by_name |= {
        name: logit_of_mean(member_logits) for name, member_logits in averages.items()
    }
    for name, logits in logits_by_name.items():
        root = ROOT if name in averages else SINGLES
        scores = score_logits(name, listed, logits, classes, records, root)
    print_tables(findings_table(name, scores, read_source()))  # the last: the ensemble

    columns = [f"spread {name}" for name in classes]
    spreads = pd.DataFrame(spread(averages[ENSEMBLE]), columns=columns)
    spreads.insert(0, "image", listed["image"])
    write_parquet(ROOT / "predictions/spread.parquet", spreads)


if __name__ == "__main__":
    run(main, __doc__)
