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

from cxr14.chexnext import paths
from cxr14.chexnext.ensemble import read_chosen, spread
from cxr14.chexnext.paths import MEMBERS, ROOT, SINGLES, STUDENTS
from cxr14.config.chexnext import read_members, read_students
from cxr14.console import print_tables
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.evaluation.evaluate import score_logits
from cxr14.evaluation.predict import held_out
from cxr14.evaluation.predictions import logit_of_mean
from cxr14.io import write_parquet
from cxr14.preprocessing.cache import open_cache
from cxr14.report.terminal import findings_table
from stages import run


def main() -> None:
    """Run the stage."""
    networks = [
        network
        for group, params in ((MEMBERS, read_members()), (STUDENTS, read_students()))
        for network in paths.network_paths(group, params.backbones, params.seeds)
    ]
    classes, chosen = paths.read_classes(networks[-1]), read_chosen()
    _, index = open_cache("data/cache")
    listed, records = held_out(index, read_split()), read_records(paths.LABELS)
    rows = listed["row"].to_numpy()
    logits = {n: paths.read_logits(n.logits, len(index), classes)[rows] for n in networks}

    members = [logits[n] for n in networks if n.group == MEMBERS and n.name in chosen]
    students = [logits[n] for n in networks if n.group == STUDENTS]
    for network, array in logits.items():
        score_logits(network.title, listed, array, classes, records, SINGLES)
    score_logits(MEMBERS, listed, logit_of_mean(members), classes, records, ROOT)
    ensemble = logit_of_mean(students)
    scores = score_logits(paths.ENSEMBLE, listed, ensemble, classes, records, ROOT)
    print_tables(findings_table(paths.ENSEMBLE, scores, read_source()))

    spreads = pd.DataFrame(spread(students), columns=[f"spread {name}" for name in classes])
    spreads.insert(0, "image", listed["image"])
    write_parquet(ROOT / "predictions/spread.parquet", spreads)


if __name__ == "__main__":
    run(main, __doc__)
