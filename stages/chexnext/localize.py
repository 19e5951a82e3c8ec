"""Localize findings by the students' heatmaps, and by their average (the ensemble).

    python -m stages.chexnext.localize

Reads chexnext/models/students, chexnext/singles/predictions, data/cache, data/records,
data/split, params.yaml (localize), chexnext/params.yaml (students).
Writes chexnext/localization/chexnext, chexnext/metrics/localize/chexnext.json and tables in
chexnext/metrics/localize/chexnext; the same for each student in chexnext/singles.
"""

from cxr14.chexnext.paths import ENSEMBLE, ROOT, SINGLES, STUDENTS, network_paths
from cxr14.config.chexnext import read_students
from cxr14.config.localize import read_localize
from cxr14.console import print_tables
from cxr14.evaluation.predictions import read_predictions
from cxr14.localization.evaluate import average_maps, maps_of_model, read_inputs
from stages import run
from stages.localize_iobb import write_scores


def main() -> None:
    """Run the stage."""
    params, students, inputs = read_localize(), read_students(), read_inputs()
    student_maps = []
    for network in network_paths(STUDENTS, students.backbones, students.seeds):
        predictions = read_predictions(SINGLES / f"predictions/{network.title}.parquet")
        maps = maps_of_model(network.model, network.backbone, inputs, predictions, params)
        write_scores(SINGLES, network.title, maps, params, inputs.source)
        student_maps.append(maps)
    maps = average_maps(student_maps)
    print_tables(*write_scores(ROOT, ENSEMBLE, maps, params, inputs.source))


if __name__ == "__main__":
    run(main, __doc__)
