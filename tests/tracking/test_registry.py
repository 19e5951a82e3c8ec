"""Models on the disk become runs, versions and a champion in MLflow's registry."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cxr14.io import read_json, write_json, write_parquet
from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.champion import CHAMPION
from cxr14.tracking.registry import MODEL, Registration, register
from cxr14.tracking.runs import start_run
from cxr14.tracking.store import connect
from stages import register as stage
from tests.sources import PHANTOM

BACKBONES = ["googlenet", "alexnet", "vgg16"]  # the last is not trained
METRICS = {
    "best_epoch": 3,
    "best_validation_macro_auroc": 0.7,
    "accuracy_iobb_t10/Mass": 0.5,
    "auroc/Mass": 0.75,  # Hernia's is null: it cannot be scored
    "positives/Hernia": 0,
    "positives/Mass": 4,
    "evaluate/macro_auroc": 0.7,
    "evaluate/phantom": 1,
    "learning_rate": 0.1,
    "localize/boxed_images": 3,
    "localize/iobb/mean_accuracy/t10": 0.5,
    "localize/iobb/mean_accuracy/t25": 0.5,
    "localize/iobb/mean_afp/t10": 1.5,
    "localize/iobb/mean_afp/t25": 1.5,
    "localize/iou/mean_accuracy/t10": 0.5,
    "localize/iou/mean_afp/t10": 1.5,
    "localize/phantom": 1,
    "loss": 1,
    "pointing/Mass": 0.4,
    "validation_macro_auroc": 0.7,
}
"""What the run of the better model shows; of its curves, the last values."""


def contents() -> dict[str, Any]:
    """Everything countable in the store."""
    client, experiment = connect()
    runs = client.search_runs([experiment])
    versions = client.search_model_versions(f"name = '{MODEL}'")
    return {
        "runs": sorted(run.info.run_id for run in runs),
        "metrics": {
            (run.info.run_id, name): [(m.step, m.value) for m in history]
            for run in runs
            for name in run.data.metrics
            for history in [client.get_metric_history(run.info.run_id, name)]
        },
        "models": sorted(m.model_id for m in client.search_logged_models([experiment])),
        "versions": sorted((v.version, tuple(sorted(v.tags.items()))) for v in versions),
        "aliases": {k: str(v) for k, v in client.get_registered_model(MODEL).aliases.items()},
    }


def without_ids(metrics: dict[tuple[str, str], object]) -> list[tuple[str, object]]:
    return sorted((name, history) for (_, name), history in metrics.items())


def facts(registration: Registration) -> list[tuple[str, str | None, bool]]:
    return [(one.trained.backbone, one.version, one.champion) for one in registration.models]


def spoil_predictions(project: Path, backbone: str) -> None:
    path = project / "predictions" / f"{backbone}.parquet"
    table = pd.read_parquet(path)
    table["probability Mass"] += 0.01
    write_parquet(path, table)


def test_registering_twice_adds_nothing_and_a_deleted_store_is_restored(project: Path) -> None:
    first = register(find_trained(BACKBONES))
    assert facts(first) == [("alexnet", "1", True), ("googlenet", "2", False)]
    before = contents()
    assert before["aliases"] == {CHAMPION: "1"}

    assert facts(register(find_trained(BACKBONES))) == facts(first)
    assert contents() == before

    shutil.rmtree(project / "mlruns")  # the records outlive the files: new versions
    restored = register(find_trained(BACKBONES))
    assert [one.champion for one in restored.models] == [True, False]
    assert contents()["runs"] == before["runs"]
    assert len(contents()["versions"]) == 2


def test_a_run_has_the_params_numbers_and_files_of_its_model(project: Path) -> None:
    run_id = register(find_trained(BACKBONES)).models[0].run_id
    client, _ = connect()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"train.epochs": "3", "train.augment.flip": "0.0"}
    assert run.data.metrics == METRICS
    assert [m.value for m in client.get_metric_history(run_id, "loss")] == [3, 2, 1]
    assert [f.path for f in client.list_artifacts(run_id, "plots/evaluate")] == [
        "plots/evaluate/roc.csv"
    ]
    assert [f.path for f in client.list_artifacts(run_id, "metrics/localize")] == [
        "metrics/localize/accuracy.csv",
        "metrics/localize/alexnet.json",
        "metrics/localize/headline.csv",
        "metrics/localize/pointing.csv",
    ]


def test_scores_on_external_sets_are_in_the_run_of_their_network(project: Path) -> None:
    scores = {"macro_auroc": 0.5, "gap_macro_auroc": -0.2, "macro_f1": None, "phantom": 1}
    write_json("metrics/external/city/alexnet.json", scores)
    write_json("metrics/external/removed/alexnet.json", scores)
    better, other = register(find_trained(BACKBONES, sets=["city"])).models
    client, _ = connect()
    expected = {
        "external/city/macro_auroc": 0.5,
        "external/city/gap_macro_auroc": -0.2,
        "external/city/phantom": 1,
    }
    assert client.get_run(better.run_id).data.metrics == METRICS | expected
    assert "external/city/macro_auroc" not in client.get_run(other.run_id).data.metrics


def test_run_and_version_bear_the_hashes_of_what_they_are_of(project: Path) -> None:
    best = register(find_trained(BACKBONES)).models[0]
    hashes = best.trained.hashes()
    files = {"decision_sha256", "serving_sha256", "input_check_sha256"}
    assert set(hashes) == {"weights_sha256", "data_sha256", *files}
    client, _ = connect()
    assert hashes.items() <= client.get_run(best.run_id).data.tags.items()
    tags = client.get_model_version(MODEL, "1").tags
    assert hashes.items() <= tags.items()
    assert tags["backbone"] == "alexnet"
    assert tags["phantom"] == "true"
    assert tags["weights_sha256"] == read_json("models/alexnet/model.json")["weights_sha256"]


def test_an_empty_store_gets_back_everything_the_artifacts_hold(
    project: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = register(find_trained(BACKBONES))
    before = contents()
    # MLflow keeps a deleted database open within a process: the empty one lies elsewhere.
    fresh = project / "fresh"
    fresh.mkdir()
    shutil.copyfile(empty_store, fresh / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(fresh))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # set by MLflow, for its children
    assert facts(register(find_trained(BACKBONES))) == facts(first)
    after = contents()
    assert without_ids(after["metrics"]) == without_ids(before["metrics"])
    assert after["versions"] == before["versions"]
    assert after["aliases"] == before["aliases"]


def test_a_run_cut_short_is_completed_not_doubled(project: Path) -> None:
    (trained,) = find_trained(["googlenet"])
    about = "stages/train.py", trained.identity, "googlenet", {}
    run = start_run(*about, PHANTOM)
    run.log_epoch(trained.history()[0])
    shutil.rmtree(project / "evaluation")  # not evaluated: no version, no champion
    (registered,) = register([trained]).models
    assert (registered.run_id, registered.version, registered.champion) == (run.run_id, None, False)
    client, _ = connect()
    history = client.get_metric_history(run.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 3), (2, 2), (3, 1)]
    assert client.get_run(run.run_id).info.status == "FINISHED"


def test_champion_moves_only_to_a_model_that_reproduces_its_predictions(project: Path) -> None:
    register(find_trained(["googlenet"]))
    assert contents()["aliases"] == {CHAMPION: "1"}
    spoil_predictions(project, "alexnet")  # the better one
    with pytest.raises(ValueError, match=r"alexnet .* differs .* by 0\.01 .* in Mass"):
        register(find_trained(BACKBONES))
    assert contents()["aliases"] == {CHAMPION: "1"}


def change_model(project: Path, backbone: str, **facts: object) -> None:
    path = project / "models" / backbone / "model.json"
    write_json(path, read_json(path) | facts)


def test_a_weaker_experiment_does_not_take_the_alias_from_a_better_model(project: Path) -> None:
    """Three epochs of AlexNet alone used to become champion over all that was there."""
    register(find_trained(["alexnet"]))
    (weaker,) = register(find_trained(["googlenet"])).models
    assert (weaker.version, weaker.champion) == ("2", False)
    assert contents()["aliases"] == {CHAMPION: "1"}


def test_a_champion_whose_files_are_gone_makes_way_for_a_model_that_can_be_loaded(
    project: Path,
) -> None:
    """The alias stayed on a better model of an earlier experiment, of which only the name was left.

    Its files were deleted with mlruns/, the database was not.
    """
    import mlflow

    register(find_trained(["alexnet"]))
    shutil.rmtree(project / "models/alexnet")  # the experiment is not at hand any more
    shutil.rmtree(project / "mlruns")
    (weaker,) = register(find_trained(["googlenet"])).models
    assert (weaker.version, weaker.champion) == ("2", True)
    assert contents()["aliases"] == {CHAMPION: "2"}
    assert mlflow.pyfunc.load_model(f"models:/{MODEL}@{CHAMPION}")


def test_a_champion_of_other_data_makes_way_for_its_score_says_nothing_here(project: Path) -> None:
    register(find_trained(["alexnet"]))
    change_model(project, "googlenet", inputs={"data/cache/images.npy": "of other images"})
    register(find_trained(["googlenet"]))
    assert contents()["aliases"] == {CHAMPION: "2"}


def test_a_champion_of_an_earlier_cxr14_gets_a_new_version_that_can_be_served(
    project: Path,
) -> None:
    """Its version has neither description nor input check."""
    register(find_trained(["alexnet"]))
    client, _ = connect()
    for name in ("serving_sha256", "input_check_sha256"):
        client.delete_model_version_tag(MODEL, "1", name)
    (again,) = register(find_trained(["alexnet"])).models
    assert (again.version, again.champion) == ("2", True)
    assert client.get_model_version(MODEL, "1").status == "READY"


def test_other_heatmap_settings_are_another_version(project: Path) -> None:
    register(find_trained(["alexnet"]))
    path = project / "serving/alexnet.json"
    content = read_json(path)
    write_json(path, content | {"heatmaps": content["heatmaps"] | {"smoothing": 0.1}})
    (again,) = register(find_trained(["alexnet"])).models
    assert (again.version, again.champion) == ("2", True)


def test_weights_that_are_not_those_of_model_json_are_not_registered(project: Path) -> None:
    shutil.copyfile(
        project / "models/googlenet/weights.safetensors",
        project / "models/alexnet/weights.safetensors",
    )
    with pytest.raises(ValueError, match=r"weights\.safetensors is not the file that"):
        register(find_trained(["alexnet"]))


def test_nothing_trained_is_one_clear_sentence(project: Path) -> None:
    with pytest.raises(ValueError, match="none of vgg16 is trained"):
        find_trained(["vgg16"])


def test_the_stage_writes_what_is_registered_without_clock_or_version(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = Path(__file__).resolve().parents[2] / "params.yaml"
    shutil.copyfile(params, project / "params.yaml")
    shutil.rmtree(project / "models/googlenet")
    stage.main()
    (entry,) = read_json(project / "registry/registered.json")
    model = read_json(project / "models/alexnet/model.json")
    assert entry == {
        "backbone": "alexnet",
        "identity": model["run_identity"],
        "weights_sha256": model["weights_sha256"],
    }
    shown = capsys.readouterr().out
    assert "alexnet" in shown
    assert "0.7000" in shown
    assert "alexnet (version 1) is the first champion: best macro AUROC on validation" in shown
