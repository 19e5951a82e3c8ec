"""Contact sheets of overlays."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr14.datasets.records import Source
from cxr14.figures.overlays import (
    DETECTED,
    GROUND_TRUTH,
    Localized,
    draw_sheets,
    hits_then_misses,
    main_overlaps,
)
from cxr14.localization.scores import gather

PHANTOM, NIH = Source("phantom", True, False), Source("nih", False, True)


@pytest.fixture
def found():
    names = [f"{number}.png" for number in range(3)]
    pairs = pd.DataFrame({"image": names, "finding": ["Mass", "Mass", "Nodule"], "row": range(3)})
    pairs = pairs.assign(patient=range(3), scale=0.5, offset_x=0.0, offset_y=0.0)
    ground_truth = pairs[["image", "finding"]].assign(x=20.0, y=20.0, width=30.0, height=30.0)
    grids = np.random.default_rng(0).random((3, 4, 4)).astype(np.float16)
    grids[1] = 0
    boxed = gather(
        pairs, ground_truth, 64, "per_map", ("Mass", "Nodule"), np.random.default_rng(0), 2
    )
    predictions = pd.DataFrame({"image": names}).assign(
        **{f"probability {finding}": [0.1, 0.2, 0.3] for finding in ("Mass", "Nodule")}
    )
    detections = boxed.overlaps(grids, [60, 180])
    return Localized(pairs, grids, "per_map", ground_truth, detections), predictions


def draw(folder, found, source=PHANTOM):
    localized, predictions = found
    images = np.full((3, 64, 64), 90, np.uint8)
    seen = {"images": images, "predictions": predictions, "source": source}
    draw_sheets(folder, "alexnet", localized, heat_thresholds=[60, 180], **seen)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_boxed_finding_has_a_sheet_of_equal_bytes_and_old_ones_go(tmp_path, found):
    (tmp_path / "Hernia.png").write_bytes(b"of an earlier run")
    first = draw(tmp_path, found)
    assert list(first) == ["Mass.png", "Nodule.png"]
    assert draw(tmp_path, found) == first


def test_phantom_sheets_say_so(tmp_path, found):
    assert draw(tmp_path / "a", found) != draw(tmp_path / "b", found, NIH)


def test_the_ground_truth_box_is_visible_in_its_colour(tmp_path, found):
    draw(tmp_path, found)
    pixels = np.asarray(Image.open(tmp_path / "Mass.png").convert("RGB")).astype(int)
    colour = [int(GROUND_TRUTH[place : place + 2], 16) for place in (1, 3, 5)]
    assert (np.abs(pixels - colour).max(axis=2) < 20).sum() > 100


def test_a_line_marks_where_heat_crosses_a_threshold(tmp_path, found):
    localized, predictions = found
    unboxed = replace(localized, detections=localized.detections.iloc[:0])
    draw(tmp_path / "b", (unboxed, predictions))  # no boxes: yellow are the lines
    pixels = np.asarray(Image.open(tmp_path / "b" / "Nodule.png").convert("RGB")).astype(int)
    colour = [int(DETECTED[0][place : place + 2], 16) for place in (1, 3, 5)]
    panel = pixels[80:330, 10:260]
    assert (np.abs(panel - colour).max(axis=2) < 60).sum() > 50


def test_the_best_hits_come_first_then_the_worst_misses():
    names = [f"{letter}.png" for letter in "abcdefghijkl"]
    overlaps = np.array([0.0, 0.9, 0.5, 0.5, 0.1, 0.02, 0.3, 0.8, 0.0, 0.4, 0.05, 0.2])
    chosen = hits_then_misses(names, overlaps > 0.1, overlaps)
    assert [names[index][0] for index in chosen] == list("bhcdkfai")  # e is the best of five misses


def test_a_hit_comes_before_any_miss_whatever_its_overlap():
    is_hit = np.array([False, True, False, True])
    assert hits_then_misses(list("abcd"), is_hit, np.array([0.3, 0.1, 0.0, 0.2])) == [3, 1, 0, 2]


def test_few_hits_leave_their_panels_to_misses_and_the_other_way_round():
    names = [f"{number:02d}.png" for number in range(12)]
    one_hit, one_miss = np.zeros(12), np.linspace(1, 0, 12)
    one_hit[5] = 0.7
    assert hits_then_misses(names, one_hit > 0, one_hit) == [5, 4, 6, 7, 8, 9, 10, 11]
    assert hits_then_misses(names, one_miss + 0.05 > 0.1, one_miss)[-1] == 11
    assert hits_then_misses(names, one_miss > 0.1, one_miss) == [0, 1, 2, 3, 4, 5, 10, 11]


def test_the_main_overlap_is_that_of_the_largest_box_at_the_threshold_and_of_no_speck():
    pairs = pd.DataFrame({"image": ["a", "b", "c"], "finding": "Mass"})
    rows = [
        ("a", 180, 9.0, 0.5),
        ("a", 180, 1.0, 0.1),  # a speck
        ("a", 60, 20.0, 0.3),
        ("b", 180, 1.0, 0.1),
        ("b", 180, 8.0, 0.0),
        ("c", 60, 5.0, 0.9),  # it has no heat above 180
    ]
    detections = pd.DataFrame(rows, columns=["image", "heat_threshold", "width", "iou"])
    detections = detections.assign(finding="Mass", height=2.0)
    assert main_overlaps(pairs, detections, 180).tolist() == [0.5, 0.0, 0.0]
    assert main_overlaps(pairs, detections.iloc[:0], 180).tolist() == [0.0, 0.0, 0.0]
