"""Register the ensemble: one model of MLflow that holds its networks.

    python -m stages.chexnext.register
    python -m stages.chexnext.register --best-effort    (as `dvc repro` runs it)

With --best-effort a store that cannot be used is a warning, and the stage ends well.

Reads chexnext/models/students, chexnext/predictions, chexnext/evaluation, chexnext/metrics,
chexnext/plots, chexnext/data/labels.parquet, data/split, data/cache. Writes the MLflow store and
chexnext/registry/registered.json.

A second run adds nothing. The alias champion of `cxr14-chexnext` goes to the best on validation,
whatever labels its networks learnt, as long as images, split, classes and the labels before
relabelling are the same; and after that model was loaded back and agreed with its predictions. It
is used like any other:

    mlflow.pyfunc.load_model("models:/cxr14-chexnext@champion").predict(images)
"""

from cxr14.chexnext.paths import ENSEMBLE, LABELS, ROOT, STUDENTS, places
from cxr14.config.chexnext import read_students
from cxr14.io import write_json
from cxr14.report.summary_tables import print_tables
from cxr14.tracking.artifacts import MODEL, find_ensemble
from cxr14.tracking.registry import BestEffort, register, register_or_warn
from stages import run
from stages.register import entry, table

COMMAND = "python -m stages.chexnext.register"


def main(best_effort: BestEffort = False) -> None:
    """Register, show, and write what is registered."""
    params = read_students()
    students = places(STUDENTS, params.backbones, params.seeds)
    ensemble = find_ensemble(ENSEMBLE, ROOT, [own.model for own in students], LABELS)
    if best_effort:
        registered = register_or_warn([ensemble], MODEL, COMMAND)
    else:
        registered = register([ensemble], MODEL)
    if registered:
        print_tables(table(registered))
    write_json(ROOT / "registry/registered.json", [entry(one) for one in registered])


if __name__ == "__main__":
    run(main, __doc__)
