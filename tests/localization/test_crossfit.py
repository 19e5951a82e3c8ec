"""The heat threshold chosen on one half of the patients and scored on the other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cxr14.localization.crossfit import GRID, crossfit, crossfit_table
from cxr14.localization.overlap import Rule
from cxr14.localization.scores import N_HALVINGS

LIMITS = [("iobb", 0.1)]


@pytest.fixture
def one_halving(boxed):
    """The pairs with the first of their halvings."""
    return replace(boxed, second_halves=boxed.second_halves[:1])


def detections(boxed, value_of):
    """One box a pair and threshold, whose IoBB is value_of(second half, threshold)."""
    rows = [
        (pair.image, pair.finding, heat, value_of(bool(half), heat))
        for pair, half in zip(boxed.pairs.itertuples(), boxed.second_halves[0], strict=True)
        for heat in GRID
    ]
    table = pd.DataFrame(rows, columns=["image", "finding", "heat_threshold", "iobb"])
    return table.assign(iou=table["iobb"])


def test_wangs_thresholds_are_among_those_to_choose_from():
    assert {60, 180} <= set(GRID)


def test_each_half_is_scored_at_the_choice_of_the_other(one_halving):
    boxed = one_halving
    # The first half is hit at 90 alone, the second at 210 alone.
    best = {False: 90, True: 210}
    fitted = crossfit(
        boxed, detections(boxed, lambda half, heat: float(heat == best[half])), LIMITS
    )
    assert fitted.chosen.tolist() == [[90], [210]]
    assert fitted.hits.max() == 0  # chosen and scored on the same half it would be 1
    assert fitted.false_boxes.tolist() == [[1]] * len(boxed.pairs)


def test_a_half_does_not_influence_its_own_threshold(one_halving):
    boxed = one_halving

    def of_half(second):
        found = detections(boxed, lambda half, heat: float(heat == (150 if half else second)))
        return crossfit(boxed, found, LIMITS)

    one, other = of_half(90), of_half(240)
    assert (one.chosen.tolist(), other.chosen.tolist()) == ([[90], [150]], [[240], [150]])
    first = ~boxed.second_halves[0]
    assert (one.hits[first] == other.hits[first]).all()


def test_of_equally_accurate_thresholds_the_one_with_fewest_false_boxes_is_chosen(boxed):
    found = detections(boxed, lambda half, heat: 1.0)
    extra = found[found["heat_threshold"] < 120].assign(iobb=0.0)
    fitted = crossfit(boxed, pd.concat([found, extra]), LIMITS)
    assert (fitted.chosen == 120).all()  # the lowest of those without false boxes
    assert fitted.hits.min() == 1


def test_a_single_patient_has_no_other_half(boxed):
    one = boxed.pairs["patient"] == 0
    none = np.zeros((3, one.sum()), bool)
    single = replace(boxed, pairs=boxed.pairs[one], second_halves=none)
    fitted = crossfit(single, detections(single, lambda half, heat: 1.0), LIMITS)
    assert len(fitted.chosen) == 0
    assert pd.isna(fitted.hits).all()


@pytest.mark.parametrize("measure", ["iobb", "iou"])
def test_thresholds_are_chosen_for_each_measure_and_limit(boxed, measure):
    found = detections(boxed, lambda half, heat: heat / 255)
    found["iou"] = 1 - found["iobb"]
    fitted = crossfit(boxed, found, [(measure, 0.5), (measure, 0.8)])
    expected = {"iobb": [150, 210], "iou": [30, 30]}[measure]
    assert (fitted.chosen == expected).all()


def test_scores_are_averaged_over_the_halvings(boxed):
    """One halving decided: over sixty of them a control's accuracy was .516 ± .049."""
    found = detections(boxed, lambda half, heat: float(heat == (90 if half else 210)))
    each = [
        crossfit(replace(boxed, second_halves=boxed.second_halves[[index]]), found, LIMITS)
        for index in range(N_HALVINGS)
    ]
    fitted = crossfit(boxed, found, LIMITS)
    assert fitted.hits == pytest.approx(np.mean([one.hits for one in each], axis=0))
    assert fitted.false_boxes == pytest.approx(np.mean([one.false_boxes for one in each], axis=0))
    assert sorted(fitted.chosen.ravel()) == sorted(
        np.concatenate([one.chosen for one in each])[:, 0]
    )
    assert len(np.unique(fitted.hits)) > 2  # a share of the halvings


def test_the_table_names_the_most_frequent_threshold_and_how_often_it_was_chosen(boxed):
    found = detections(boxed, lambda half, heat: 1.0 if heat == 150 else heat / 10_000)
    table = crossfit_table(boxed, found, [Rule("iobb", 0.1, "pooled")])
    assert set(table["chosen_threshold"]) == {150}
    assert set(table["chosen_share"]) == {1.0}


def test_no_patient_is_in_both_halves_and_halvings_differ(boxed):
    by_patient = pd.DataFrame(boxed.second_halves.T).groupby(boxed.pairs["patient"].to_numpy())
    assert (by_patient.nunique() == 1).all(axis=None)
    assert len(np.unique(boxed.second_halves, axis=0)) > N_HALVINGS / 2
