"""An ensemble as one registered model: the mean of its networks, and how far they lie apart."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from cxr14.chexnext.paths import ENSEMBLE
from cxr14.io import read_json, write_json, write_metrics, write_parquet, write_text
from cxr14.labels import CLASSES
from cxr14.tracking import spread_columns
from cxr14.tracking.artifacts import MODEL, find_ensemble
from cxr14.tracking.registry import register
from tests.tracking.conftest import PLATT, serving_fake

PROBABILITIES = [f"probability {name}" for name in CLASSES]
NETWORKS = ("alexnet", "googlenet")


@pytest.fixture
def ensemble(project: Path):
    """The two networks of the small project as an ensemble of the second pipeline."""
    root = project / "chexnext"
    folders = [root / "models" / "students" / f"{name}-0" for name in NETWORKS]
    for name, folder in zip(NETWORKS, folders, strict=True):
        shutil.copytree(project / "models" / name, folder)
    tables = [pd.read_parquet(project / "predictions" / f"{name}.parquet") for name in NETWORKS]
    mean = tables[0].copy()
    mean[PROBABILITIES] = np.mean([own[PROBABILITIES].to_numpy() for own in tables], axis=0)
    write_parquet(root / "predictions/chexnext.parquet", mean)
    decision = read_json(project / "evaluation/alexnet/decision.json")
    write_json(root / "evaluation/chexnext/decision.json", decision)
    scores = {"phantom": 1, "validation_macro_auroc": 0.71, "macro_auroc": 0.7}
    write_metrics(root / "metrics/evaluate/chexnext.json", scores)
    (root / "data").mkdir()
    shutil.copyfile(project / "data/records/images.parquet", root / "data/labels.parquet")
    return find_ensemble(
        root, folders, root / "data/labels.parquet", serving_fake(ENSEMBLE)
    ), tables


def test_the_registered_ensemble_answers_with_mean_and_spread_and_is_champion(ensemble) -> None:
    import mlflow

    found, tables = ensemble
    (registered,) = register([found], MODEL).models
    assert (registered.version, registered.champion) == ("1", True)
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    images = np.load("data/cache/images.npy")
    scored = model.predict(images)
    facts = ["remarks", "refusals", "note"]
    assert list(scored.columns) == [*CLASSES, *spread_columns(CLASSES), *facts]
    each = np.stack([own[::-1][PROBABILITIES].to_numpy() for own in tables])  # cache's order
    scaled = expit(PLATT["slope"] * logit(each.mean(axis=0)) + PLATT["intercept"])
    scaled[:, CLASSES.index("Hernia")] = np.nan
    np.testing.assert_allclose(scored[list(CLASSES)].astype(float), scaled, atol=1e-5)
    scored = model.predict(images, params={"calibrated": False})
    np.testing.assert_allclose(scored[list(CLASSES)], each.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(scored[spread_columns(CLASSES)], each.std(axis=0), atol=1e-5)
    decided = model.predict(images[:2], params={"decide": True})
    assert list(decided.columns) == [*scored.columns, "above_threshold"]
    (again,) = register([found], MODEL).models
    assert (again.version, again.run_id) == ("1", registered.run_id)
    run = mlflow.MlflowClient().get_run(registered.run_id)
    assert run.data.tags["mlflow.source.name"] == "stages/chexnext/evaluate.py"


def test_the_single_networks_registered_model_is_left_alone(ensemble) -> None:
    import mlflow

    register([ensemble[0]], MODEL)
    assert [own.name for own in mlflow.MlflowClient().search_registered_models()] == [MODEL]


def test_an_ensemble_that_differs_from_its_predictions_is_not_crowned(ensemble) -> None:
    import mlflow

    found, _ = ensemble
    table = pd.read_parquet(found.predictions)
    table[PROBABILITIES] += 0.01
    write_parquet(found.predictions, table)
    with pytest.raises(ValueError, match="chexnext as loaded back from the registry differs"):
        register([found], MODEL)
    assert mlflow.MlflowClient().get_registered_model(MODEL).aliases == {}


def test_a_network_whose_weights_are_others_is_refused(ensemble) -> None:
    found, _ = ensemble
    (found.folders[1] / "weights.safetensors").write_bytes(b"others")
    with pytest.raises(ValueError, match="googlenet-0"):
        register([found], MODEL)


def test_identity_and_data_are_those_of_all_networks_together(ensemble) -> None:
    found, _ = ensemble
    one = found.networks[0].model
    assert found.identity not in (one["run_identity"], found.networks[1].model["run_identity"])
    assert found.model["params"]["networks"] == "alexnet-0, googlenet-0"
    assert len(found.identity) == 64


def relabelled(found, score: float):
    """The ensemble of another experiment, whose networks learnt other labels."""
    inputs = found.model["inputs"] | {"chexnext/data/relabelled/students.parquet": f"of {score}"}
    identity = f"{round(1e4 * score):064x}"
    facts = {"inputs": inputs, "validation_macro_auroc": score, "run_identity": identity}
    return replace(found, model=found.model | facts)


def test_a_weaker_ensemble_on_other_new_labels_leaves_the_alias_where_it_is(ensemble) -> None:
    """`relabel.mode=replace` took it as "other data", scored on the very same validation labels."""
    found, _ = ensemble
    register([relabelled(found, 0.71)], MODEL)
    (weaker,) = register([relabelled(found, 0.60)], MODEL).models
    assert (weaker.version, weaker.champion) == ("2", False)
    equal = register([relabelled(found, 0.72)], MODEL)  # the same predictions: ahead by nothing
    assert (equal.models[0].version, equal.models[0].champion) == ("3", False)
    assert "chexnext (version 1) stays champion: chexnext (version 3) is not" in equal.champion


@pytest.mark.parametrize("changed", ["labels", "images", "classes"])
def test_an_ensemble_that_is_scored_on_something_else_has_other_data(ensemble, changed) -> None:
    found, _ = ensemble
    before = found.hashes()["data_sha256"]
    if changed == "labels":
        write_text(found.labels, "made wrong otherwise")
    if changed == "images":
        found.model["inputs"]["data/cache/images.npy"] = "others"
    if changed == "classes":
        found.model["classes"] = ["Mass"]
    assert found.hashes()["data_sha256"] != before
