"""Localize findings by the students' heatmaps, and by their average (the ensemble).

    python -m stages.chexnext.localize

Reads chexnext/models/students, chexnext/predictions, chexnext/singles/predictions, data/cache,
data/records, data/split, params.yaml (localize), chexnext/params.yaml (students).
Writes chexnext/localization/chexnext, chexnext/metrics/localize/chexnext.json, tables in
chexnext/metrics/localize/chexnext, chexnext/plots/localize/chexnext; the same for each student in
chexnext/singles.
"""

from cxr14.chexnext.ensemble import average_maps
from cxr14.chexnext.paths import ENSEMBLE, ROOT, SINGLES, STUDENTS, network_paths
from cxr14.config.blocks import read_localize
from cxr14.config.chexnext import read_students
from cxr14.evaluation.predictions import read_predictions
from cxr14.localization.boxes import Thresholds
from cxr14.localization.evaluate import maps_of_model, read_inputs, write_localization
from cxr14.report.summary_tables import print_tables
from stages import run
from stages.localize_iobb import present


def main() -> None:
    """Run the stage."""
    students, params, inputs = read_students(), read_localize(), read_inputs()
    thresholds = Thresholds(params.t_iobb, params.t_iou, params.heat_thresholds)
    student_maps = []
    for network in network_paths(STUDENTS, students.backbones, students.seeds):
        predictions = read_predictions(SINGLES / f"predictions/{network.title}.parquet")
        maps = maps_of_model(
            network.model,
            network.backbone,
            inputs,
            predictions,
            method=params.method,
            scaling=params.scaling,
            batch_size=params.batch_size,
        )
        scores = write_localization(SINGLES, network.title, maps, thresholds, inputs.source)
        present(SINGLES, network.title, inputs, predictions, maps, scores, thresholds)
        student_maps.append(maps)
    predictions = read_predictions(ROOT / f"predictions/{ENSEMBLE}.parquet")
    maps = average_maps(student_maps)
    scores = write_localization(ROOT, ENSEMBLE, maps, thresholds, inputs.source)
    print_tables(*present(ROOT, ENSEMBLE, inputs, predictions, maps, scores, thresholds))


if __name__ == "__main__":
    run(main, __doc__)
