"""An unknown label (-1) leaves its image out of that finding's measures, and out of no other's."""

import numpy as np
import pandas as pd
import pytest

from cxr14.evaluation.baseline import multi_label_floor
from cxr14.evaluation.evaluate import decide, measure
from cxr14.evaluation.measures import MEASURES, Predictions
from cxr14.evaluation.subgroups import score_group
from cxr14.labels import CLASSES
from cxr14.metrics.auroc import macro_auroc
from cxr14.metrics.bootstrap import draw_replicates

PAIR = ("Mass", "Edema")
N = 120


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels (N, 2) of which 40 of Edema are unknown, logits, probabilities and patients."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((N, 2)) < 0.4).astype(np.float32)
    logits = (labels + rng.normal(size=(N, 2))).round(1).astype(np.float32)
    labels[rng.permutation(N)[:40], 1] = -1
    return labels, logits, 1 / (1 + np.exp(-logits)), np.arange(N) // 2


def findings_of(labels, logits, probabilities, patients, decision) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    scores = measure(labels, logits, probabilities, patients, decision, rng, PAIR, 20)
    return scores.findings.set_index("finding")


def test_measures_of_a_finding_are_those_of_its_known_images() -> None:
    labels, logits, probabilities, patients = drawn(1)
    known = labels[:, 1] >= 0
    arrays = labels, logits, probabilities
    decision = decide("b", *arrays, PAIR)
    only_known = decide("b", *(array[known] for array in arrays), PAIR)
    for key in ("thresholds", "platt", "temperature"):
        assert decision[key]["Edema"] == only_known[key]["Edema"]
    rows = findings_of(*arrays, patients, decision)
    known_rows = findings_of(*(a[known] for a in (*arrays, patients)), decision)
    chances = [f"{item.name}_chance" for item in MEASURES if item.chance]
    columns = ["images", "positives", "negatives", *(item.name for item in MEASURES), *chances]
    assert rows.loc["Edema", columns].tolist() == pytest.approx(
        known_rows.loc["Edema", columns].tolist(), abs=1e-12
    )
    assert rows.images.tolist() == [N, N - 40]


def test_an_unknown_label_changes_no_other_finding() -> None:
    labels, logits, probabilities, patients = drawn(2)
    decision = decide("b", labels, logits, probabilities, PAIR)
    full = labels.copy()
    full[full < 0] = 0
    rows = findings_of(labels, logits, probabilities, patients, decision)
    full_rows = findings_of(full, logits, probabilities, patients, decision)
    pd.testing.assert_series_equal(rows.loc["Mass"], full_rows.loc["Mass"])


def test_macro_auroc_and_groups_count_known_labels_alone() -> None:
    labels, logits, probabilities, patients = drawn(3)
    known = labels[:, 1] >= 0
    both = macro_auroc(labels, logits, PAIR)[0]
    single = [
        macro_auroc(labels[:, [0]], logits[:, [0]], PAIR[:1])[0],
        macro_auroc(labels[known][:, [1]], logits[known][:, [1]], PAIR[1:])[0],
    ]
    assert both == pytest.approx(np.mean(single), abs=1e-15)
    decision = decide("b", labels, logits, probabilities, PAIR)
    predictions = Predictions(PAIR, logits, probabilities, decision)
    replicates = draw_replicates(patients, np.random.default_rng(0), 5)
    scores = score_group(predictions, labels, np.ones(N, bool), replicates)
    known_scores = score_group(predictions, labels, known, replicates)
    for name, values in scores.values.items():
        assert values[0, 1] == pytest.approx(known_scores.values[name][0, 1], abs=1e-12)


def test_a_finding_without_known_labels_has_no_score_and_a_reason() -> None:
    labels, logits, probabilities, patients = drawn(4)
    labels[:, 1] = -1
    decision = decide("b", labels, logits, probabilities, PAIR)
    assert decision["reasons"]["Edema"] == (
        f"validation holds no positives among 0 images ({N} more have an unknown label)"
    )
    row = findings_of(labels, logits, probabilities, patients, decision).loc["Edema"]
    assert row.images == 0
    assert np.isnan(row.auroc)


def test_constants_are_scored_on_known_labels() -> None:
    labels = np.zeros((10, len(CLASSES)), np.float32)
    labels[:4, 0] = 1
    unknown = np.concatenate([labels, np.full((5, len(CLASSES)), -1, np.float32)])
    expected = multi_label_floor(labels, labels)
    assert multi_label_floor(unknown, unknown) == expected | {"images": 15}
