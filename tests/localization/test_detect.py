"""Pairs of image and finding, and the boxes found for them."""

import numpy as np
import pandas as pd
import pytest

from cxr14.errors import UserError
from cxr14.labels import CLASSES
from cxr14.localization.cam import SaliencySettings, normalized_heatmaps
from cxr14.localization.heatmaps import (
    boxed_pairs,
    check_tested,
    detect,
    heat_of,
    listed_findings,
    read_heatmaps,
    uncut_heat,
    write_heatmaps,
)

INDEX = pd.DataFrame(
    {
        "row": [0, 1],
        "image": ["b.png", "a.png"],
        "scale": [0.5, 0.25],
        "offset_x": [0.0, 0.0],
        "offset_y": [0.0, 8.0],
        "source_width": [1024, 1024],
        "source_height": [1024, 1024],
    }
)
RECORDS = pd.DataFrame({"image": ["a.png", "b.png", "c.png"], "patient": [1, 2, 3]})
GROUND_TRUTH = pd.DataFrame(
    [
        ("b.png", "Mass", 8.0, 8.0, 16.0, 16.0),
        ("b.png", "Mass", 40.0, 40.0, 8.0, 8.0),
        ("b.png", "Effusion", 0.0, 32.0, 64.0, 32.0),
        ("a.png", "Mass", 32.0, 32.0, 32.0, 32.0),
        ("c.png", "Nodule", 1.0, 1.0, 2.0, 2.0),
    ],
    columns=["image", "finding", "x", "y", "width", "height"],
)
SIZE = 32
CAM = SaliencySettings("cam", 2, SIZE)


@pytest.fixture
def pairs():
    return boxed_pairs(GROUND_TRUTH, INDEX, RECORDS)


def test_boxes_are_mapped_right_on_a_smaller_copy_too(pairs):
    """With a set of 512-px copies every IoBB was .000."""
    halves = {"scale": 2 * INDEX["scale"], "source_width": 512, "source_height": 512}
    pd.testing.assert_frame_equal(boxed_pairs(GROUND_TRUTH, INDEX.assign(**halves), RECORDS), pairs)


def test_of_an_image_that_is_not_square_the_longer_side_counts(pairs):
    narrow = INDEX.assign(source_width=[800, 1024])
    pd.testing.assert_frame_equal(boxed_pairs(GROUND_TRUTH, narrow, RECORDS), pairs)


def test_a_pair_counts_once_however_many_boxes_and_needs_pixels(pairs):
    assert pairs[["image", "finding", "patient", "row"]].to_numpy().tolist() == [
        ["a.png", "Mass", 1, 1],
        ["b.png", "Effusion", 2, 0],
        ["b.png", "Mass", 2, 0],
    ]


def test_the_eight_boxed_findings_are_listed_and_others_that_have_boxes(pairs):
    assert len(listed_findings(pairs)) == 8
    assert listed_findings(pairs.assign(finding="Hernia"))[8:] == ["Hernia"]


def masks_of_ground_truth(pairs):
    """The ground-truth boxes, as heat on the grid of the cache."""
    masks = np.zeros((len(pairs), SIZE, SIZE), np.float16)
    for mask, pair in zip(masks, pairs.itertuples(), strict=True):
        own = GROUND_TRUTH[
            (GROUND_TRUTH["image"] == pair.image) & (GROUND_TRUTH["finding"] == pair.finding)
        ]
        for box in own.itertuples():
            x = box.x * pair.scale + pair.offset_x
            y = box.y * pair.scale + pair.offset_y
            width, height = box.width * pair.scale, box.height * pair.scale
            # These boxes lie on whole pixels of the cache, so nothing is lost by rounding.
            assert all(float(value).is_integer() for value in (x, y, width, height))
            mask[int(y) : int(y + height), int(x) : int(x + width)] = 1
    return masks


def test_ground_truth_boxes_as_heat_are_detected_exactly(pairs):
    detections = detect(pairs, masks_of_ground_truth(pairs), SIZE, [60, 180])
    keys = ["image", "finding", "x", "y", "width", "height"]
    wanted = GROUND_TRUTH[GROUND_TRUTH["image"] != "c.png"].sort_values(keys, ignore_index=True)
    for threshold in (60, 180):
        found = detections[detections["heat_threshold"] == threshold]
        pd.testing.assert_frame_equal(found[keys].sort_values(keys, ignore_index=True), wanted)


def test_a_flat_map_gives_no_box(pairs):
    assert len(detect(pairs, np.zeros((3, 4, 4), np.float16), SIZE, [60])) == 0


def test_each_pair_gets_the_grid_of_its_own_image_and_finding(tiny, pairs):
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE), dtype=np.uint8)
    grids = normalized_heatmaps(tiny(), images, pairs, CAM)
    assert grids.dtype == np.float16
    assert grids.shape == (3, 8, 8)
    assert (grids.min(axis=(1, 2)) == 0).all()
    assert (grids.max(axis=(1, 2)) == 1).all()
    for place in range(3):
        alone = normalized_heatmaps(tiny(), images, pairs.iloc[[place]], CAM._replace(batch_size=1))
        assert grids[place] == pytest.approx(alone[0], abs=2e-3)
    assert not np.allclose(grids[1], grids[2], atol=0.05)


def test_without_pairs_there_are_no_grids(tiny, pairs):
    images = np.zeros((2, SIZE, SIZE), np.uint8)
    assert len(normalized_heatmaps(tiny(), images, pairs.iloc[:0], CAM)) == 0


def test_heat_fills_its_range_after_upsampling():
    heat = heat_of(np.eye(3, dtype=np.float16)[None], 30)[0]
    assert heat.shape == (30, 30)
    assert (heat.min(), heat.max()) == (0, 255)


def test_a_fixed_scale_cuts_what_exceeds_the_heat_scale():
    grid = np.array([[[0.0, 0.2], [1.0, 3.0]]], np.float16)
    assert heat_of(grid, 2, "fixed").ravel() == pytest.approx([0, 51, 255, 255], abs=0.05)
    assert uncut_heat(grid, 2, "fixed").ravel() == pytest.approx([0, 51, 255, 765], abs=0.05)


def test_heatmaps_are_written_with_equal_bytes_and_read_without_pickle(tmp_path, pairs):
    grids = np.random.default_rng(0).random((3, 7, 7)).astype(np.float16)
    for name in ("one.npz", "two.npz"):
        write_heatmaps(tmp_path / name, pairs, grids)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    stored, heat = read_heatmaps(tmp_path / "one.npz")
    assert stored.to_numpy().tolist() == pairs[["image", "finding"]].to_numpy().tolist()
    np.testing.assert_array_equal(heat, grids)
    (tmp_path / "two.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UserError, match=r"two\.npz is damaged"):
        read_heatmaps(tmp_path / "two.npz")


def test_a_network_of_fewer_classes_gives_the_same_heat_for_those(tiny, pairs):
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE), dtype=np.uint8)
    whole, two = tiny(), tiny(classes=("Mass", "Hernia"))
    columns = [CLASSES.index("Mass"), CLASSES.index("Hernia")]
    two.filters.load_state_dict(whole.filters.state_dict())
    two.prediction.weight.data = whole.prediction.weight.data[columns]
    mass = pairs[pairs["finding"] == "Mass"]
    for method in ("gradcam", "cam"):
        expected = normalized_heatmaps(whole, images, mass, CAM._replace(method=method))
        assert (
            normalized_heatmaps(two, images, mass, CAM._replace(method=method)) == expected
        ).all()


def test_with_a_fixed_scale_a_faint_map_gives_no_box_and_a_hot_one_more(tiny, pairs):
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE), dtype=np.uint8)
    network = tiny()
    network.prediction.weight.data.abs_()
    job = (network, images, pairs, CAM)
    raw = normalized_heatmaps(*job, {"Mass": 1.0, "Effusion": 1.0})
    tops = {"Mass": 10 * float(raw[[0, 2]].max()), "Effusion": float(raw[1].max()) / 2}
    grids = normalized_heatmaps(*job, tops)
    assert grids[1].max() == pytest.approx(2, rel=1e-2)
    found = detect(pairs, grids, SIZE, [60, 180], "fixed")
    assert set(found["finding"]) == {"Effusion"}
    assert set(found["scaling"]) == {"fixed"}
    assert found["score"].max() == 255
    # By its own range every map has boxes.
    own = detect(pairs, normalized_heatmaps(*job), SIZE, [60, 180])
    assert set(own["finding"]) == {"Mass", "Effusion"}
    assert set(own["scaling"]) == {"per_map"}


def test_with_a_fixed_scale_negative_heat_of_cam_is_nothing(tiny, pairs):
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE), dtype=np.uint8)
    network = tiny()
    network.prediction.weight.data.abs_().neg_()
    grids = normalized_heatmaps(network, images, pairs, CAM, {"Mass": 1.0, "Effusion": 1.0})
    assert not grids.any()
    assert len(detect(pairs, grids, SIZE, [0], "fixed")) == 0


def test_the_table_of_boxes_has_its_types_even_when_it_is_empty(pairs):
    empty = detect(pairs, np.zeros((3, 4, 4), np.float16), SIZE, [60])
    full = detect(pairs, masks_of_ground_truth(pairs), SIZE, [60])
    assert list(empty.columns) == list(full.columns)
    assert empty["heat_threshold"].dtype == full["heat_threshold"].dtype
    assert empty["score"].dtype == full["score"].dtype == float


def test_boxed_images_that_were_trained_or_chosen_on_are_refused(pairs):
    predictions = pd.DataFrame({"image": ["a.png", "b.png"], "split": ["test", "test"]})
    check_tested(pairs, predictions)
    for others in (predictions.assign(split=["test", "val"]), predictions[:1]):
        with pytest.raises(ValueError, match=r"1 boxed image\(s\) are not in test, first b.png"):
            check_tested(pairs, others)
