"""Three findings instead of all classes, from training to the registered model, by the stages."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from cxr14.io import read_json, write_json, write_npy, write_parquet
from cxr14.labels import FINDINGS, LABEL_COLUMNS
from cxr14.masks import mask_table, write_masks
from stages import (
    baseline,
    compare,
    eda,
    evaluate,
    input_check,
    localize_iobb,
    register,
    report,
    serving,
    sheets,
    train,
)
from tests.conftest import ROOT
from tests.tracking.conftest import enter

CLASSES = ["Effusion", "Nodule", "Hernia"]
SIDE, IMAGES = 64, 48
NAMES = [f"{number:02d}.png" for number in range(IMAGES)]
SHOWN = ["Effusion", "Nodule", "Hernia", "Mass", "no_finding"]  # Mass and No Finding: all zeros


def write_project() -> None:
    """Image n shows the n-th of SHOWN (in turn) as a bright band; some of the test part are boxed."""
    pixels = np.random.default_rng(1).integers(0, 100, (IMAGES, SIDE, SIDE), dtype=np.uint8)
    labels = pd.DataFrame(np.zeros((IMAGES, 15), np.uint8), columns=list(LABEL_COLUMNS))
    boxes = []
    for number, name in enumerate(NAMES):
        shown = number % len(SHOWN)
        pixels[number, 12 * shown : 12 * shown + 12] += 120
        labels.loc[number, SHOWN[shown]] = 1
        tested = number >= 2 * IMAGES // 3  # boxes are for testing only
        if tested and SHOWN[shown] in ("Effusion", "Nodule", "Mass"):
            boxes.append((name, SHOWN[shown], 0.0, 12.0 * shown, 64.0, 12.0))
    rows = pd.DataFrame({"row": range(IMAGES), "image": NAMES})
    write_npy("data/cache/images.npy", pixels)
    place = {"scale": 1.0, "offset_x": 0.0, "offset_y": 0.0}
    place |= {"source_width": 1024, "source_height": 1024}
    write_parquet("data/cache/index.parquet", rows.assign(**place))
    people = pd.DataFrame({"image": NAMES, "patient": range(IMAGES)})
    about = {"has_pixels": True, "age": 50, "view": "PA", "sex": ["F", "M"] * (IMAGES // 2)}
    records = pd.concat([people.assign(**about), labels], axis=1)
    write_parquet("data/records/images.parquet", records)
    columns = ["image", "finding", "x", "y", "width", "height"]
    write_parquet("data/records/boxes.parquet", pd.DataFrame(boxes, columns=columns))
    write_masks("data/records/masks.parquet", mask_table([]))
    facts = {"source": "phantom", "phantom": True, "official_split": False}
    write_json("data/records/source.json", facts)
    split = people.assign(split=np.repeat(["train", "val", "test"], IMAGES // 3))
    write_parquet("data/split/split.parquet", split)
    write_json("data/pretrained/alexnet/source.json", {"weights": "none"})
    counts = {name: part_counts(rows) for name, rows in labels.groupby(split["split"])}
    write_json("metrics/patient_split.json", {"all": counts, "with_pixels": counts})
    write_json("metrics/preprocess.json", {"images": IMAGES, "size": SIDE})


def part_counts(labels: pd.DataFrame) -> dict[str, Any]:
    """Images, patients and positives of a split, as patient-split counts them."""
    positives = {name: int(count) for name, count in labels.sum().items()}
    return {"images": len(labels), "patients": len(labels), "labels": positives}


def write_params() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["findings"] = ["Nodule", "Hernia", "Effusion"]
    params["train"] |= {"backbones": ["alexnet"], "input_size": SIDE, "epochs": 2, "batch_size": 16}
    params["train"] |= {"learning_rate": 0.001, "overrides": {}}
    Path("params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture(scope="module")
def project(tmp_path_factory, empty_store):
    """The project after every stage from train on."""
    root = tmp_path_factory.mktemp("three")
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(root, empty_store, monkeypatch)
        write_project()
        write_params()
        eda.main()
        baseline.main()
        for stage in (train, evaluate, localize_iobb):
            stage.main("alexnet")
        for stage in (compare, input_check, serving, sheets, report, register):
            stage.main()
        yield root


def test_the_network_has_the_three_in_the_order_of_findings_py(project):
    model = read_json("models/alexnet/model.json")
    assert model["classes"] == model["params"]["data"]["findings"] == CLASSES
    assert model["untrainable_findings"] == []


def test_predictions_and_decisions_are_of_the_three(project):
    table = pd.read_parquet("predictions/alexnet.parquet")
    names = [f"{kind} {name}" for kind in ("logit", "probability") for name in CLASSES]
    assert list(table) == ["image", "split", *names]
    decision = read_json("evaluation/alexnet/decision.json")
    assert list(decision["thresholds"]) == list(decision["platt"]) == CLASSES
    assert set(pd.read_csv("plots/evaluate/alexnet/roc.csv").finding) == set(CLASSES)


def test_each_finding_is_scored_against_its_own_labels(project):
    """Bands are learned at once; a column held against another finding's labels is not."""
    scores = read_json("metrics/evaluate/alexnet.json")
    findings = pd.read_csv("metrics/evaluate/alexnet/findings.csv").set_index("finding")
    assert list(findings.index) == CLASSES
    assert scores["findings_scored"] == 3
    assert scores["no_finding_auroc"] is None
    labels = pd.read_parquet("data/records/images.parquet")[2 * IMAGES // 3 :]
    for name in CLASSES:
        assert findings.positives[name] == labels[name].sum()
    assert scores["macro_auroc"] > 0.8
    assert read_json("metrics/train/alexnet.json")["validation_macro_auroc"] == pytest.approx(
        scores["validation_macro_auroc"], abs=0.01
    )


def test_a_boxed_finding_that_was_not_trained_is_null_and_the_mean_is_over_the_others(project):
    scores = read_json("metrics/localize/alexnet.json")
    boxes = pd.read_parquet("data/records/boxes.parquet").finding.value_counts()
    table = pd.read_csv("metrics/localize/alexnet/accuracy.csv")
    at_t10 = (
        (table.measure == "iobb")
        & (table.overlap_threshold == 0.1)
        & (table.heat_threshold == "pooled")
    )
    rates = table[at_t10].set_index("finding")
    assert (rates.n_pairs["Effusion"], rates.n_pairs["Nodule"]) == (boxes.Effusion, boxes.Nodule)
    assert rates.loc["Mass", ["n_pairs", "accuracy"]].isna().all()
    assert "Hernia" not in rates.index  # trained, and NIH drew no box of it
    assert scores["findings_scored"] == 2
    assert scores["mean_accuracy_iobb_t10"] == pytest.approx(
        (rates.accuracy["Effusion"] + rates.accuracy["Nodule"]) / 2, abs=1e-4
    )
    assert scores["boxed_images_without_pixels"] == 0
    sheets = sorted(path.stem for path in Path("plots/localize/alexnet").glob("*.png"))
    assert sheets == ["Effusion", "Nodule"]


def test_the_printed_tables_are_also_a_file(project):
    text = Path("report/summary.txt").read_text()
    assert "alexnet" in text
    assert "says nothing about patients" in " ".join(text.split())
    assert "report/index.html" in text


def test_the_report_says_what_was_not_trained_and_over_how_many_the_means_are(project):
    page = Path("report/index.html").read_text()
    # Rows of scores and of AUROC (No Finding too); the heads of three tables of boxes.
    assert page.count("not trained") == 2 * (len(FINDINGS) - 3 + 1) + 3 * 6
    assert "findings: alexnet 3, baseline 4" in page
    assert read_json("metrics/summary.json")["alexnet"]["test_no_finding_auroc"] is None


def test_the_model_card_is_of_the_three_and_is_logged(project):
    from cxr14.tracking.artifacts import find_trained

    card = Path("report/cards/model_alexnet.md").read_text()
    findings = card.partition("### Findings")[2].partition("###")[0].splitlines()
    rows = [row.split(" | ")[0].removeprefix("| ") for row in findings if row.startswith("|")]
    assert rows[2:] == CLASSES
    assert len(find_trained(["alexnet"])[0].cards()) == 4


def test_the_registered_model_answers_with_three_named_probabilities(project):
    import mlflow

    model = mlflow.pyfunc.load_model("models:/cxr14@champion")
    scored = model.predict(np.load("data/cache/images.npy")[:2])
    columns = [*CLASSES, "remarks", "refusals", "note"]
    assert list(scored.columns) == columns
    assert model.metadata.get_output_schema().input_names() == columns
