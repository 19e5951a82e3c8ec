"""Localise by the students' heatmaps, and by their average, which is the ensemble's.

    python -m stages.chexnext.localize

Reads chexnext/models/students, chexnext/predictions, chexnext/singles/predictions, data/cache,
data/records, params.yaml (localize), chexnext/params.yaml (students).
Writes chexnext/localization/chexnext, chexnext/metrics/localize/chexnext.json, tables in
chexnext/metrics/localize/chexnext, chexnext/plots/localize/chexnext; the same for each student in
chexnext/singles.
"""

import pandas as pd

from cxr14.chexnext.maps import averaged
from cxr14.chexnext.places import ENSEMBLE, ROOT, SINGLES, STUDENTS, places
from cxr14.chexnext.terminal import show
from cxr14.localization.sequence import maps_of_model, write_localization
from cxr14.params import localize
from cxr14.params.chexnext.networks import read_students
from stages import run


def main() -> None:
    """Run the stage."""
    students, params = read_students(), localize.read()
    how = params.method, params.scaling, params.batch_size
    limits = params.t_iobb, params.t_iou, params.heat_thresholds
    several = []
    for own in places(STUDENTS, students.backbones, students.seeds):
        predictions = pd.read_parquet(SINGLES / f"predictions/{own.title}.parquet")
        several.append(maps_of_model(own.model, own.backbone, predictions, *how))
        named = SINGLES, own.title, several[-1], params.method
        write_localization(*named, *limits, predictions)
    predictions = pd.read_parquet(ROOT / f"predictions/{ENSEMBLE}.parquet")
    named = ROOT, ENSEMBLE, averaged(several, params.method), params.method
    show(*write_localization(*named, *limits, predictions))


if __name__ == "__main__":
    run(main, __doc__)
