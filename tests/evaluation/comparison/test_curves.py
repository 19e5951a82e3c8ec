"""Curves for `dvc plots`, and their template."""

import json

import numpy as np
import pandas as pd
import pytest
import vl_convert

from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.evaluation.compare import AXES, COMPARISON_POINTS, comparison_tables, thinned
from cxr14.evaluation.measures import MACRO, predictions_of
from cxr14.labels import CLASSES, label_matrix
from cxr14.metrics.auroc import macro_auroc
from cxr14.metrics.curves import roc_points
from tests.conftest import ROOT
from tests.evaluation.comparison.conftest import make_decision, make_rows

TEMPLATE = ROOT / ".dvc" / "plots" / "by_backbone.json"


@pytest.fixture(scope="module")
def tables(records, answers):
    return comparison_tables(records, answers)


@pytest.mark.parametrize("name", AXES)
def test_all_networks_and_classes_are_in_one_table_of_few_points(tables, name):
    table = tables[name]
    assert list(table)[:4] == ["backbone", "finding", *AXES[name]]
    assert list(table["finding"].unique()) == [MACRO, *CLASSES]
    assert list(table["backbone"].unique()) == ["good", "poor"]
    assert table.groupby(["backbone", "finding"]).size().max() <= COMPARISON_POINTS
    assert table[AXES[name]].notna().all(axis=None)
    assert table[AXES[name]].min(axis=None) >= 0
    assert table[AXES[name]].max(axis=None) <= 1


def test_the_mean_curve_has_the_area_of_the_mean(tables, records, answers):
    """Within the 60 points: the curves have steps between them."""
    own = tables["roc"].query("backbone == 'good' and finding == @MACRO")
    across, up = (own[name].to_numpy(float) for name in AXES["roc"])
    area = ((across[1:] - across[:-1]) * (up[1:] + up[:-1]) / 2).sum()
    assert area == pytest.approx(
        macro_auroc(label_matrix(records), answers["good"].logits)[0], abs=0.01
    )


def test_a_long_curve_keeps_its_ends_and_its_highest_point():
    curve = pd.DataFrame({"threshold": np.linspace(0, 1, 500), "f1": 0.1})
    curve.loc[123, "f1"] = 0.9
    kept = thinned(curve, "threshold_f1")
    assert len(kept) <= COMPARISON_POINTS
    assert {0, 123, 499} <= set(kept.index)
    assert thinned(kept, "threshold_f1") is kept


def test_a_short_curve_is_that_of_evaluation(tables, records, answers):
    own = tables["roc"].query("backbone == 'poor' and finding == 'Hernia'")
    column = CLASSES.index("Hernia")
    whole = roc_points(records["Hernia"].to_numpy(), answers["poor"].logits[:, column])
    pairs = set(zip(*whole.values(), strict=True))
    assert set(map(tuple, own[AXES["roc"]].to_numpy(float))) <= pairs


def test_without_scaling_there_is_no_reliability_and_without_positives_no_curve(records):
    decision = make_decision(platt=dict.fromkeys(CLASSES))
    own = predictions_of(make_rows(records, 1, 1), decision)
    tables = comparison_tables(records.assign(Hernia=0), {"b": own})
    assert tables["reliability"].empty
    assert "Hernia" not in set(tables["roc"]["finding"])


def test_the_template_offers_the_mean_and_every_class():
    template = json.loads(TEMPLATE.read_text())
    (picked,) = template["params"]
    assert picked["bind"]["options"] == [MACRO, *CLASSES]
    assert picked["value"] == MACRO


@pytest.mark.parametrize("name", AXES)
def test_the_template_draws_each_network_and_labels_phantoms(tables, name):
    def drawn(table: pd.DataFrame) -> str:
        points = table.assign(rev="workspace").astype(str).to_dict("records")
        filled = TEMPLATE.read_text().replace('"<DVC_METRIC_DATA>"', json.dumps(points))
        for mark, text in zip("XY", AXES[name], strict=True):
            filled = filled.replace(f"<DVC_METRIC_{mark}>", text)
        return vl_convert.vegalite_to_svg(filled)

    svg = drawn(tables[name].assign(phantom=1))
    assert svg.count('aria-roledescription="line mark"') == 2
    assert "good" in svg
    assert PHANTOM_NOTE in svg
    assert PHANTOM_NOTE not in drawn(tables[name].assign(phantom=0))
