"""The heat threshold chosen on one half of the patients and scored on the other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cxr14.localization.tables import GRID, crossfit

LIMITS = [("iobb", 0.1)]


def detections(boxed, value_of):
    """One box a pair and threshold, whose IoBB is value_of(second_half, threshold)."""
    rows = [
        (pair.image, pair.finding, heat, value_of(bool(half), heat))
        for pair, half in zip(boxed.pairs.itertuples(), boxed.second_half, strict=True)
        for heat in GRID
    ]
    table = pd.DataFrame(rows, columns=["image", "finding", "heat_threshold", "iobb"])
    return table.assign(iou=table["iobb"])


def test_wangs_thresholds_are_among_those_to_choose_from():
    assert {60, 180} <= set(GRID)


def test_each_half_is_scored_at_the_choice_of_the_other(boxed):
    # The first half is hit at 90 alone, the second at 210 alone.
    best = {False: 90, True: 210}
    fitted = crossfit(
        boxed, detections(boxed, lambda half, heat: float(heat == best[half])), LIMITS
    )
    assert fitted.chosen == [(90, 210)]
    assert fitted.hits.max() == 0  # chosen and scored on the same half it would be 1
    assert fitted.false_boxes.tolist() == [[1]] * len(boxed.pairs)


def test_a_half_does_not_influence_its_own_threshold(boxed):
    def of_half(second):
        found = detections(boxed, lambda half, heat: float(heat == (150 if half else second)))
        return crossfit(boxed, found, LIMITS)

    one, other = of_half(90), of_half(240)
    assert (one.chosen, other.chosen) == ([(90, 150)], [(240, 150)])
    first = ~boxed.second_half
    assert (one.hits[first] == other.hits[first]).all()


def test_of_equally_accurate_thresholds_the_one_with_fewest_false_boxes_is_chosen(boxed):
    found = detections(boxed, lambda half, heat: 1.0)
    extra = found[found["heat_threshold"] < 120].assign(iobb=0.0)
    fitted = crossfit(boxed, pd.concat([found, extra]), LIMITS)
    assert fitted.chosen == [(120, 120)]  # the lowest of those without false boxes
    assert fitted.hits.min() == 1


def test_a_single_patient_has_no_other_half(boxed):
    one = boxed.pairs["patient"] == 0
    single = replace(boxed, pairs=boxed.pairs[one], second_half=np.zeros(one.sum(), bool))
    fitted = crossfit(single, detections(single, lambda half, heat: 1.0), LIMITS)
    assert fitted.chosen == [(GRID[0], None)]
    assert pd.isna(fitted.hits).all()


@pytest.mark.parametrize("measure", ["iobb", "iou"])
def test_thresholds_are_chosen_for_each_measure_and_limit(boxed, measure):
    found = detections(boxed, lambda half, heat: heat / 255)
    found["iou"] = 1 - found["iobb"]
    fitted = crossfit(boxed, found, [(measure, 0.5), (measure, 0.8)])
    assert (
        fitted.chosen
        == {
            "iobb": [(150, 150), (210, 210)],
            "iou": [(30, 30), (30, 30)],
        }[measure]
    )
