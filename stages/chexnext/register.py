"""Register the ensemble: one model of MLflow that holds its networks.

    python -m stages.chexnext.register
    python -m stages.chexnext.register --best-effort    (as `dvc repro` runs it)

With --best-effort an unusable store is a warning, and the stage succeeds.

Reads chexnext/models/students, chexnext/predictions, chexnext/evaluation, chexnext/metrics,
chexnext/plots, chexnext/data/labels.parquet, data/split, data/cache. Writes the MLflow store and
chexnext/registry/registered.json.

A second run adds nothing. The alias champion of `cxr14-chexnext` goes to the best model on
validation, if images, split, classes and the labels before relabelling are the same, and if the
loaded model reproduces its predictions. Usage:

    mlflow.pyfunc.load_model("models:/cxr14-chexnext@champion").predict(images)
"""

from cxr14.chexnext.paths import ENSEMBLE, LABELS, ROOT, STUDENTS, network_paths
from cxr14.config.chexnext import read_students
from cxr14.console import print_tables
from cxr14.io import write_json
from cxr14.tracking.artifacts import MODEL, find_ensemble
from cxr14.tracking.registry import BestEffort, register, register_or_warn
from stages import run
from stages.register import entry, table

COMMAND = "python -m stages.chexnext.register"


def main(best_effort: BestEffort = False) -> None:
    """Run the stage."""
    params = read_students()
    students = network_paths(STUDENTS, params.backbones, params.seeds)
    ensemble = find_ensemble(ENSEMBLE, ROOT, [network.model for network in students], LABELS)
    if best_effort:
        registered = register_or_warn([ensemble], MODEL, COMMAND)
    else:
        registered = register([ensemble], MODEL)
    if registered:
        print_tables(table(registered))
    write_json(ROOT / "registry/registered.json", [entry(model) for model in registered])


if __name__ == "__main__":
    run(main, __doc__)
