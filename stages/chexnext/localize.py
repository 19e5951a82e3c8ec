"""Localise by the students' heatmaps, and by their average, which is the ensemble's.

    python -m stages.chexnext.localize

Reads chexnext/models/students, chexnext/predictions, chexnext/singles/predictions, data/cache,
data/records, params.yaml (localize), chexnext/params.yaml (students).
Writes chexnext/localization/chexnext, chexnext/metrics/localize/chexnext.json, tables in
chexnext/metrics/localize/chexnext, chexnext/plots/localize/chexnext; the same for each student in
chexnext/singles.
"""

from cxr14.chexnext.maps import averaged
from cxr14.chexnext.places import ENSEMBLE, ROOT, SINGLES, STUDENTS, places
from cxr14.chexnext.terminal import show
from cxr14.evaluation.stored import read_predictions
from cxr14.localization.scoring import Limits
from cxr14.localization.sequence import maps_of_model, read_inputs, write_localization
from cxr14.params import localize
from cxr14.params.chexnext.networks import read_students
from stages import run


def main() -> None:
    """Run the stage."""
    students, params, inputs = read_students(), localize.read(), read_inputs()
    limits = Limits(params.t_iobb, params.t_iou, params.heat_thresholds)
    several = []
    for own in places(STUDENTS, students.backbones, students.seeds):
        predictions = read_predictions(SINGLES / f"predictions/{own.title}.parquet")
        maps = maps_of_model(
            own.model,
            own.backbone,
            inputs,
            predictions,
            method=params.method,
            scaling=params.scaling,
            batch_size=params.batch_size,
        )
        write_localization(SINGLES, own.title, inputs, predictions, maps, limits)
        several.append(maps)
    predictions = read_predictions(ROOT / f"predictions/{ENSEMBLE}.parquet")
    show(*write_localization(ROOT, ENSEMBLE, inputs, predictions, averaged(several), limits))


if __name__ == "__main__":
    run(main, __doc__)
