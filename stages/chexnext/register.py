"""Register the ensemble: one model of MLflow that holds its networks.

    python -m stages.chexnext.register
    python -m stages.chexnext.register --best-effort    (as `dvc repro` runs it)

With --best-effort an unusable store is a warning, and the stage succeeds.

Reads chexnext/models/students, chexnext/predictions, chexnext/evaluation, chexnext/metrics,
chexnext/plots, chexnext/data/labels.parquet, data/split, data/cache, data/records/source.json,
params.yaml (localize), and data/input_check.npz of the first pipeline. Writes the MLflow store
and chexnext/registry/registered.json.

A second run adds nothing. The alias champion of `cxr14-chexnext` moves to the new ensemble if it is
ahead on validation by more than the paired interval (on the labels before relabelling), or if
images, split, classes or those labels are others; and if the loaded model reproduces its
predictions. With --promote it moves in any case:

    python -m stages.chexnext.register --promote chexnext

Usage:

    mlflow.pyfunc.load_model("models:/cxr14-chexnext@champion").predict(images)
"""

from cxr14.chexnext.paths import ENSEMBLE, LABELS, ROOT, STUDENTS, network_paths
from cxr14.config.chexnext import read_students
from cxr14.config.localize import read_localize
from cxr14.datasets.records import read_source
from cxr14.io import write_json
from cxr14.preprocessing.cache import open_cache
from cxr14.serving.description import describe
from cxr14.tracking.artifacts import MODEL, find_ensemble
from cxr14.tracking.registry import BestEffort, Promote, register, register_or_warn
from stages import run
from stages.register import entry, show

COMMAND = "python -m stages.chexnext.register"


def main(best_effort: BestEffort = False, promote: Promote = None) -> None:
    """Run the stage."""
    params = read_students()
    students = network_paths(STUDENTS, params.backbones, params.seeds)
    images, _ = open_cache("data/cache")
    scale = ROOT / "metrics/localize" / ENSEMBLE / "scale.csv"
    description = describe(ENSEMBLE, read_source(), images.shape[1], read_localize(), scale)
    ensemble = find_ensemble(ROOT, [network.model for network in students], LABELS, description)
    if best_effort:
        registration = register_or_warn([ensemble], MODEL, COMMAND, promote)
    else:
        registration = register([ensemble], MODEL, promote)
    show(registration)
    entries = [entry(model) for model in registration.models]
    write_json(ROOT / "registry/registered.json", entries)


if __name__ == "__main__":
    run(main, __doc__)
