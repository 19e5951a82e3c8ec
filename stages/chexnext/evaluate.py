"""Score the networks of the second pipeline, and the averages of members and of students.

Thresholds and calibration are chosen on the labels of val before relabelling, an ensemble's on the
logit of its mean probability. Test is scored by the same table, in which its labels are those of
data/records: on phantoms the truth, else mined.

    python -m stages.chexnext.evaluate

Reads chexnext/logits, chexnext/models, chexnext/selection, chexnext/data/labels.parquet,
data/cache, data/split, data/records/source.json, chexnext/params.yaml (members, students).
Writes for the averages, `members` and `chexnext`, chexnext/predictions/NAME.parquet,
evaluation/NAME/decision.json, metrics/evaluate/NAME.json, tables in metrics/evaluate/NAME, curves
in plots/evaluate/NAME; the same for single networks in chexnext/singles;
chexnext/predictions/spread.parquet, how far the students lie apart.
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
    places,
    read_logits,
)
from cxr14.config.chexnext import read_members, read_students
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.evaluation.evaluate import score_logits
from cxr14.evaluation.predict import held_out
from cxr14.io import write_parquet
from cxr14.models.serialization import read_description
from cxr14.preprocessing.cache import open_cache
from cxr14.report.summary_tables import print_tables
from cxr14.report.terminal import findings_table
from stages import run


def main() -> None:
    """Run the stage."""
    members, students = read_members(), read_students()
    chosen = set(read_chosen())
    groups = {
        MEMBERS: places(MEMBERS, members.backbones, members.seeds),
        STUDENTS: places(STUDENTS, students.backbones, students.seeds),
    }
    classes = read_description(groups[STUDENTS][0].model / "model.json")["classes"]
    _, index = open_cache("data/cache")
    listed = held_out(index, read_split())
    records, rows = read_records(LABELS), listed["row"].to_numpy()

    answers: dict[str, Logits] = {}
    averaged: dict[str, list[Logits]] = {MEMBERS: [], ENSEMBLE: []}
    for own in (*groups[MEMBERS], *groups[STUDENTS]):
        answers[own.title] = read_logits(own.logits, len(index), classes)[rows]
        if own.group == STUDENTS or own.name in chosen:
            averaged[ENSEMBLE if own.group == STUDENTS else MEMBERS].append(answers[own.title])
    answers |= {name: logit_of_mean(several) for name, several in averaged.items()}
    for name, logits in answers.items():
        root = ROOT if name in averaged else SINGLES
        scores = score_logits(name, listed, logits, classes, records, root)
    phantom = bool(read_source()["phantom"])
    print_tables(findings_table(name, scores, phantom))  # the last: the ensemble

    columns = [f"spread {name}" for name in classes]
    apart = pd.DataFrame(spread(averaged[ENSEMBLE]), columns=columns)
    apart.insert(0, "image", listed["image"])
    write_parquet(ROOT / "predictions/spread.parquet", apart)


if __name__ == "__main__":
    run(main, __doc__)
