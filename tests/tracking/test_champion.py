"""The alias moves to a model that is ahead on validation by more than chance, or on request."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from cxr14.errors import UserError
from cxr14.evaluation.predictions import read_predictions
from cxr14.io import read_json, write_json, write_parquet
from cxr14.labels import LABEL_COLUMNS
from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.champion import CHAMPION, compare_on_validation
from cxr14.tracking.registry import MODEL, register
from cxr14.tracking.store import connect
from tests.tracking.conftest import label_fake

BOTH = ["alexnet", "googlenet"]


def alias() -> str:
    client, _ = connect()
    return str(client.get_registered_model(MODEL).aliases[CHAMPION])


def test_the_difference_is_that_of_the_aurocs_on_validation_by_patient(project: Path) -> None:
    """Twenty validation images: the model ranks Mass perfectly, the champion the other way round."""
    (trained,) = find_trained(["alexnet"])
    champion = read_predictions(trained.predictions).assign(
        **{"logit Mass": lambda rows: -rows["logit Mass"]}
    )
    logits = champion.set_index("image")["logit Mass"]
    val = champion.loc[champion["split"] == "val", "image"]
    records = pd.DataFrame(0, index=logits.index, columns=LABEL_COLUMNS)
    records["Mass"] = (logits < logits[val].median()).astype(int)
    write_parquet(trained.records, records.reset_index())
    found = compare_on_validation(trained, champion)
    assert (found.difference, found.low, found.high, found.patients) == (1, 1, 1, 20)
    assert found.ahead
    same = compare_on_validation(trained, read_predictions(trained.predictions))
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert not same.ahead


def test_with_nine_patients_of_a_finding_no_model_is_ahead_and_the_sentence_says_why(
    project: Path,
) -> None:
    """As in every comparison of networks; before, an interval of nine patients moved the alias."""
    register(find_trained(["googlenet"]))
    label_fake(project, "alexnet", "googlenet")
    records = pd.read_parquet("data/records/images.parquet").set_index("image")
    (finding,) = records[list(LABEL_COLUMNS)].any().loc[lambda found: found].index
    val = read_predictions("predictions/alexnet.parquet").query("split == 'val'")["image"]
    positives = [image for image in val if records.loc[image, finding]]
    records.loc[positives[0], finding] = 0
    write_parquet("data/records/images.parquet", records.reset_index())
    reason = register(find_trained(["alexnet"])).champion
    assert "20 patients; no interval: too few patients of " in reason
    assert reason.endswith("; `--promote alexnet` moves it.")
    assert alias() == "1"


def test_without_a_finding_to_score_no_model_is_ahead(project: Path) -> None:
    (trained,) = find_trained(["alexnet"])
    records = pd.read_parquet(trained.records)
    records[list(LABEL_COLUMNS)] = 0
    write_parquet(trained.records, records)
    found = compare_on_validation(trained, read_predictions(trained.predictions))
    assert (found.difference, found.low) == (None, None)
    assert not found.ahead


def test_the_alias_stays_unless_the_interval_of_the_difference_is_above_zero(
    project: Path,
) -> None:
    """AlexNet's score in model.json is the higher one, whatever its predictions."""
    first = register(find_trained(["googlenet"]))
    assert first.champion.startswith("googlenet (version 1) is the first champion")
    label_fake(project, "googlenet", "alexnet")
    stays = register(find_trained(BOTH)).champion
    assert stays.startswith(
        "googlenet (version 1) stays champion: alexnet (version 2) is not significantly ahead, −"
    )
    assert alias() == "1"
    label_fake(project, "alexnet", "googlenet")
    moves = register(find_trained(["alexnet"])).champion  # googlenet is known to the store alone
    assert moves.startswith("Champion moves from googlenet (version 1) to alexnet (version 2): +")
    assert moves.endswith("in macro AUROC on validation, 20 patients.")
    assert alias() == "2"
    again = register(find_trained(BOTH)).champion
    assert again == "alexnet (version 2) stays champion: best macro AUROC on validation."


def test_a_model_becomes_champion_on_request(project: Path) -> None:
    registration = register(find_trained(BOTH), promote="googlenet")
    assert [model.champion for model in registration.models] == [False, True]
    assert registration.champion == "googlenet (version 2) is champion on request."
    assert alias() == "2"


def test_a_request_for_an_unknown_model_names_the_known_ones(project: Path) -> None:
    store = (project / "mlflow.db").read_bytes()
    with pytest.raises(UserError, match=r"vgg16.*choose one of alexnet, googlenet"):
        register(find_trained(BOTH), promote="vgg16")
    assert (project / "mlflow.db").read_bytes() == store


def test_a_champion_whose_predictions_are_not_in_the_store_stays_unless_asked_for(
    project: Path,
) -> None:
    """So it is in a store that an earlier version of cxr14 wrote."""
    register(find_trained(["googlenet"]))
    (folder,) = (project / "mlruns").rglob("artifacts/predictions")
    shutil.rmtree(folder)
    reason = register(find_trained(["alexnet"])).champion
    assert "its predictions on validation are not in the store" in reason
    assert "`--promote alexnet`" in reason
    assert alias() == "1"


def test_a_champion_of_other_validation_images_gives_way_and_the_sentence_says_so(
    project: Path,
) -> None:
    register(find_trained(["alexnet"]))
    path = project / "models/googlenet/model.json"
    write_json(path, read_json(path) | {"inputs": {"data/cache/images.npy": "of other images"}})
    reason = register(find_trained(["googlenet"])).champion
    assert "from alexnet (version 1) to googlenet (version 2): it was scored on other" in reason
    assert alias() == "2"


def test_a_champion_that_is_decided_on_again_keeps_the_alias_in_its_new_version(
    project: Path,
) -> None:
    """New thresholds make a new version of the same training, which is ahead of nothing."""
    register(find_trained(["alexnet"]))
    path = project / "evaluation/alexnet/decision.json"
    decision = read_json(path)
    write_json(path, decision | {"thresholds": decision["thresholds"] | {"Mass": 0.4}})
    registration = register(find_trained(BOTH))
    assert [(model.version, model.champion) for model in registration.models] == [
        ("2", True),
        ("3", False),
    ]


def test_validation_of_a_single_patient_gives_no_interval_and_no_model_is_ahead(
    project: Path,
) -> None:
    (trained,) = find_trained(["alexnet"])
    split = pd.read_parquet(trained.split)
    write_parquet(trained.split, split.assign(patient=(split["split"] == "val").astype(int)))
    found = compare_on_validation(trained, read_predictions(trained.predictions))
    assert (found.patients, found.low) == (1, None)
    assert not found.ahead
