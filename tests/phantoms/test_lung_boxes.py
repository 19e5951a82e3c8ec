"""NIH's boxes in coordinates of the lungs."""

import numpy as np
import pandas as pd
import pytest

from cxr14.phantoms.places import LUNGS, Place, choose_place, places_of_boxes


def boxes(*rows: tuple[str, float, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["finding", "x", "y", "width", "height"])


def test_a_box_over_a_whole_lung_is_in_its_middle_and_as_large_as_it():
    right, left = LUNGS["right"], LUNGS["left"]
    whole = boxes(
        ("Mass", right[1], 95, right[0] - right[1], 705),
        ("Mass", left[0], 95, left[1] - left[0], 705),
    )
    for side, place in zip(("right", "left"), places_of_boxes(whole)["Mass"], strict=True):
        assert place.side == side
        numbers = (place.across, place.down, place.width, place.height)
        assert numbers == pytest.approx((0.5, 0.5, 1, 1))


def test_medial_is_nought_and_lateral_is_one_in_both_lungs():
    at_walls = boxes(("Nodule", 100, 400, 10, 10), ("Nodule", 920, 400, 10, 10))
    assert [place.across for place in places_of_boxes(at_walls)["Nodule"]] == pytest.approx(
        [1, 1], abs=0.02
    )


def test_boxes_over_both_lungs_have_no_place_but_for_the_heart():
    both = boxes(("Infiltration", 150, 200, 700, 300), ("Cardiomegaly", 250, 400, 560, 400))
    places = places_of_boxes(both)
    assert "Infiltration" not in places
    assert len(places["Cardiomegaly"]) == 1


def test_consolidation_occurs_where_pneumonia_and_infiltration_do(tables):
    places = places_of_boxes(tables[1])
    assert places["Consolidation"] == (*places["Pneumonia"], *places["Infiltration"])


def test_most_boxes_of_nih_are_inside_the_average_lungs(tables):
    places = [place for found in places_of_boxes(tables[1]).values() for place in found]
    across, down = (np.array([getattr(p, axis) for p in places]) for axis in ("across", "down"))
    assert np.mean((across > -0.1) & (across < 1.1)) > 0.85
    assert np.mean((down > 0) & (down < 1.05)) > 0.95


def test_a_side_can_be_chosen_and_a_missing_one_is_mirrored():
    rng = np.random.default_rng(1)
    places = {"Mass": (Place("right", 0.4, 0.5, 0.2, 0.2), Place("left", 0.8, 0.5, 0.2, 0.2))}
    assert {choose_place(places, "Mass", rng).side for _ in range(30)} == {"right", "left"}
    for _ in range(10):
        assert choose_place(places, "Mass", rng, "left").across == pytest.approx(0.8, abs=0.15)
    only = {"Mass": places["Mass"][:1]}
    mirrored = choose_place(only, "Mass", rng, "left")
    assert mirrored.side == "left"
    assert mirrored.across == pytest.approx(0.4, abs=0.15)
