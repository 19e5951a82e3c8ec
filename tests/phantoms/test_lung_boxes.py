"""NIH's boxes in coordinates of the lungs."""

import numpy as np
import pandas as pd
import pytest

from cxr14.phantoms.lung_boxes import AVERAGE_LUNGS, LungBox, sample_lung_box, to_lung_boxes


def boxes(*rows: tuple[str, float, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["finding", "x", "y", "width", "height"])


def test_a_box_over_a_whole_lung_is_in_its_middle_and_as_large_as_it():
    right, left = AVERAGE_LUNGS["right"], AVERAGE_LUNGS["left"]
    whole = boxes(
        ("Mass", right[1], 95, right[0] - right[1], 705),
        ("Mass", left[0], 95, left[1] - left[0], 705),
    )
    for side, box in zip(("right", "left"), to_lung_boxes(whole)["Mass"], strict=True):
        assert box.side == side
        numbers = (box.x, box.y, box.width, box.height)
        assert numbers == pytest.approx((0.5, 0.5, 1, 1))


def test_medial_is_nought_and_lateral_is_one_in_both_lungs():
    at_walls = boxes(("Nodule", 100, 400, 10, 10), ("Nodule", 920, 400, 10, 10))
    assert [box.x for box in to_lung_boxes(at_walls)["Nodule"]] == pytest.approx([1, 1], abs=0.02)


def test_boxes_over_both_lungs_are_left_out_except_of_the_heart():
    both = boxes(("Infiltration", 150, 200, 700, 300), ("Cardiomegaly", 250, 400, 560, 400))
    lung_boxes = to_lung_boxes(both)
    assert "Infiltration" not in lung_boxes
    assert len(lung_boxes["Cardiomegaly"]) == 1


def test_consolidation_occurs_where_pneumonia_and_infiltration_do(tables):
    lung_boxes = to_lung_boxes(tables[1])
    assert lung_boxes["Consolidation"] == (*lung_boxes["Pneumonia"], *lung_boxes["Infiltration"])


def test_most_boxes_of_nih_are_inside_the_average_lungs(tables):
    lung_boxes = [
        box for finding_boxes in to_lung_boxes(tables[1]).values() for box in finding_boxes
    ]
    x, y = (np.array([getattr(box, axis) for box in lung_boxes]) for axis in ("x", "y"))
    assert np.mean((x > -0.1) & (x < 1.1)) > 0.85
    assert np.mean((y > 0) & (y < 1.05)) > 0.95


def test_a_side_can_be_chosen_and_a_missing_one_is_mirrored():
    rng = np.random.default_rng(1)
    lung_boxes = {
        "Mass": (LungBox("right", 0.4, 0.5, 0.2, 0.2), LungBox("left", 0.8, 0.5, 0.2, 0.2))
    }
    assert {sample_lung_box(lung_boxes, "Mass", rng).side for _ in range(30)} == {"right", "left"}
    for _ in range(10):
        assert sample_lung_box(lung_boxes, "Mass", rng, "left").x == pytest.approx(0.8, abs=0.15)
    only = {"Mass": lung_boxes["Mass"][:1]}
    mirrored = sample_lung_box(only, "Mass", rng, "left")
    assert mirrored.side == "left"
    assert mirrored.x == pytest.approx(0.4, abs=0.15)
