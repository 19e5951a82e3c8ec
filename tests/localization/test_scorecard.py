"""Tables and headline: ground-truth boxes as heat, controls, missing scores."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr14.datasets.boxes import read_box_table
from cxr14.io import packaged_file
from cxr14.labels import BOXED
from cxr14.localization.control_baselines import control_grids
from cxr14.localization.overlap import POOLED, Rule, Thresholds, cached_boxes, hits_and_false_boxes
from cxr14.localization.scores import Maps, PixelMaps, gather, gather_masked
from cxr14.localization.tables import score

SIMILARITY = pd.DataFrame({"head": [0.1], "network": [0.2]})
BOX_FILE = "torchxrayvision/data/BBox_List_2017.csv.gz"
COLUMNS = ["image", "finding", "x", "y", "width", "height"]
LIMITS = Thresholds([0.1, 0.5, 0.9], [0.1, 0.7], [60, 180])


def masks(boxed):
    """The ground-truth boxes as heat: 1 in pixels that lie wholly inside one, else 0.

    Rounded inwards, because then a box around them lies inside the ground-truth box and its IoBB is 1
    whatever its size. Rounded outwards a Nodule of 15 px would give (15 / 17)² = .78.
    """
    heat = np.zeros((len(boxed.pairs), boxed.size, boxed.size), np.float16)
    for mask, boxes in zip(heat, cached_boxes(boxed.pairs, boxed.ground_truth), strict=True):
        for x, y, width, height in boxes:
            rows = slice(int(np.ceil(y)), int(np.floor(y + height)))
            mask[rows, int(np.ceil(x)) : int(np.floor(x + width))] = 1
    return heat


def scored(boxed, grids, **controls):
    none = boxed.pairs.iloc[:0].assign(runs=[], source_width=[], source_height=[])
    masked = gather_masked(none, 32, "per_map", ("Mass",), np.random.default_rng(0), resamples=20)
    pixels = PixelMaps(
        masked, {name: maps[:0] for name, maps in {"gradcam": grids, **controls}.items()}
    )
    scale = pd.DataFrame({"finding": boxed.findings})
    return score(Maps(boxed, {"gradcam": grids} | controls, scale, SIMILARITY, pixels), LIMITS)


def rows_of(table, **wanted):
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table.set_index("finding")


def test_ground_truth_boxes_as_heat_score_one_at_iobb_of_nine_tenths(boxed):
    scores = scored(boxed, masks(boxed))
    for heat in (60, 180, POOLED):
        at = rows_of(
            scores.tables["accuracy"], measure="iobb", overlap_threshold=0.9, heat_threshold=heat
        )
        for finding in ("Mass", "Nodule", "mean"):
            assert at.loc[finding, "accuracy"] == 1
            assert at.loc[finding, "afp"] == 0
    assert scores.headline["mean_accuracy_iobb_t50"] == 1
    ends = scores.tables["headline"].set_index("metric").loc["mean_accuracy_iobb_t10"]
    assert ends["low"] < ends["value"] == ends["high"] == 1  # of 26 pairs, not certain
    assert scores.headline["mean_pointing"] == pytest.approx(1)
    assert scores.headline["mean_energy"] == pytest.approx(1)
    assert scores.headline["crossfit_mean_accuracy_iobb_t10"] == 1


def nih_boxed(every):
    """NIH's own boxes, one a pair, on a cache of 224 px; the smallest are among them."""
    ground_truth = read_box_table(packaged_file("torchxrayvision", BOX_FILE)).frame
    order = (ground_truth["width"] * ground_truth["height"]).argsort().to_numpy()
    ground_truth = ground_truth.iloc[np.sort(order[::every])]
    pairs = ground_truth[["image", "finding"]].reset_index(drop=True)
    pairs = pairs.assign(patient=pairs["image"].str[:8], row=0)
    pairs = pairs.assign(scale=224 / 1024, offset_x=0.0, offset_y=0.0)
    return gather(
        pairs, ground_truth, 224, "per_map", BOXED, np.random.default_rng(0), resamples=20
    )


def test_nih_boxes_as_heat_at_cache_resolution_score_one_for_every_finding():
    boxed = nih_boxed(every=16)
    assert boxed.pairs["finding"].nunique() == 8
    overlaps = boxed.overlaps(masks(boxed), [60, 180])
    hits, wrong = hits_and_false_boxes(boxed.pairs, overlaps, [Rule("iobb", 0.9, POOLED)])
    assert hits.all()
    assert not wrong.any()


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(0, 400)] * 2, *[st.floats(16, 600)] * 2), st.integers(400, 1024))
def test_any_box_of_two_cached_pixels_a_side_is_found_inside_itself(box, height):
    # 1024 × height px, padded above and below; 16 px are more than 3 of the cache's.
    x, y, width, tall = box
    tall = min(tall, height - y) if height - y >= 16 else 16
    ground_truth = pd.DataFrame([("a", "Mass", x, y, width, tall)], columns=COLUMNS)
    offset = (1024 - height) / 2 * 224 / 1024
    pairs = ground_truth[["image", "finding"]].assign(
        patient=1, row=0, scale=224 / 1024, offset_x=0.0
    )
    pairs = pairs.assign(offset_y=offset)
    boxed = gather(
        pairs, ground_truth, 224, "per_map", BOXED, np.random.default_rng(0), resamples=2
    )
    overlaps = boxed.overlaps(masks(boxed), [60, 180])
    assert len(overlaps) == 2
    assert overlaps["iobb"].to_numpy() == pytest.approx(1)


def test_every_table_has_its_columns_and_a_reason_where_there_is_no_score(boxed):
    controls = control_grids(boxed, (4, 4), 0.0, np.random.default_rng(1))
    tables = scored(boxed, masks(boxed), **controls).tables
    assert set(tables) == {
        *("accuracy", "controls", "pointing", "pixels", "crossfit", "sanity_check", "scale"),
        "headline",
    }
    assert len(tables["accuracy"]) == 5 * 3 * 9
    assert tables["controls"]["method"].unique().tolist() == ["gradcam", *controls]
    for name in ("accuracy", "controls", "pointing", "crossfit"):
        table = tables[name]
        nulls = table.isna()[next(column for column in table if column.endswith("_low"))]
        assert (table.loc[nulls, "reason"] != "").all()
        at = table.set_index("finding")
        assert (at.loc["Effusion", "reason"] == "no boxed image with pixels").all()
        assert (at.loc["Effusion", "n_pairs"] == 0).all()
        assert (at.loc["Pneumonia", "reason"] == "not trained").all()
        assert at.loc["Pneumonia", "n_pairs"].isna().all()
        assert (at.loc["mean", "n_pairs"] == len(boxed.pairs)).all()


def test_controls_have_the_difference_of_the_method(boxed):
    controls = control_grids(boxed, (4, 4), 0.0, np.random.default_rng(1))
    scores = scored(boxed, masks(boxed), **controls)
    own, table = scores.tables["accuracy"], scores.tables["controls"]
    method = table[table["method"] == "gradcam"].drop(columns="method")
    assert method["difference"].isna().all()
    pd.testing.assert_frame_equal(
        method[own.columns].reset_index(drop=True), own, check_dtype=False
    )
    for name in controls:
        at = rows_of(
            table, method=name, measure="iobb", overlap_threshold=0.9, heat_threshold=POOLED
        ).loc["mean"]
        assert at["difference"] == pytest.approx(1 - at["accuracy"], abs=1e-4)
        assert np.isnan(at["difference_low"])  # the ground truth itself never misses
        assert at["reason"].endswith("difference: one side is the same in every resample")


def test_the_headline_is_short_flat_and_agrees_with_the_tables(boxed):
    scores = scored(boxed, masks(boxed))
    assert len(scores.headline) <= 23
    assert not [name for name in scores.headline if name.endswith(("_low", "_high"))]
    assert all(np.isscalar(value) for value in scores.headline.values())
    table = rows_of(
        scores.tables["accuracy"], measure="iou", overlap_threshold=0.1, heat_threshold=POOLED
    )
    assert scores.headline["mean_accuracy_iou_t10"] == pytest.approx(
        table.loc["mean", "accuracy"], abs=1e-4
    )
    assert scores.headline["boxed_images"] == 16
    assert scores.headline["boxed_pairs"] == 26
    assert scores.headline["findings_scored"] == 2
    assert scores.headline["sanity_check_similarity"] == 0.2


def test_an_image_with_a_box_but_without_pixels_is_counted(pair_tables):
    pairs, ground_truth = pair_tables
    more = pd.concat([ground_truth, ground_truth.iloc[[0]].assign(image="none.png")])
    boxed = gather(pairs, more, 32, "per_map", BOXED, np.random.default_rng(0), resamples=20)
    assert scored(boxed, masks(boxed)).headline["boxed_images_without_pixels"] == 1


def test_a_flat_map_is_a_miss_without_false_boxes(boxed):
    scores = scored(boxed, np.zeros((len(boxed.pairs), 4, 4), np.float16))
    at = rows_of(
        scores.tables["accuracy"], measure="iobb", overlap_threshold=0.1, heat_threshold=POOLED
    )
    assert at.loc["Mass", "accuracy"] == at.loc["Mass", "afp"] == 0
    assert scores.headline["mean_pointing"] == scores.headline["mean_energy"] == 0
    spot = rows_of(scores.tables["pointing"], method="gradcam")
    assert (spot["empty"] == spot["n_pairs"]).dropna().all()
    assert (spot["empty"].isna() == spot["n_pairs"].isna()).all()
    assert not rows_of(scored(boxed, masks(boxed)).tables["pointing"])["empty"].fillna(0).any()


def test_without_any_boxed_image_all_is_null_and_nothing_fails(pair_tables, no_pixels):
    pairs, ground_truth = pair_tables
    none = pairs.iloc[:0]
    boxed = gather(none, ground_truth, 32, "per_map", ("Hernia",), np.random.default_rng(0))
    grids = np.zeros((0, 1, 1), np.float16)
    controls = control_grids(boxed, (1, 1), 0.0, np.random.default_rng(0))
    scale, similarity = pd.DataFrame(), pd.DataFrame({"head": [], "network": []}, dtype=float)
    maps = Maps(boxed, {"cam": grids} | controls, scale, similarity, no_pixels)
    scores = score(maps, LIMITS)
    assert scores.headline["boxed_images"] == scores.headline["findings_scored"] == 0
    assert np.isnan(scores.headline["mean_accuracy_iobb_t10"])
    assert np.isnan(scores.headline["sanity_check_similarity"])
    assert (scores.tables["accuracy"]["reason"] != "").all()


def test_one_patient_has_scores_but_neither_intervals_nor_a_crossfit_and_says_so(pair_tables):
    """Resampling one patient gives that patient: intervals had no width and looked certain."""
    pairs, ground_truth = pair_tables
    trained = ("Mass", "Nodule")
    own = gather(
        pairs.assign(patient=7), ground_truth, 32, "per_map", trained, np.random.default_rng(0), 50
    )
    scores = scored(own, masks(own))
    mean = rows_of(
        scores.tables["accuracy"], measure="iobb", overlap_threshold=0.1, heat_threshold=POOLED
    ).loc["mean"]
    assert mean["accuracy"] == 1
    assert np.isnan(mean["accuracy_low"])
    assert mean["reason"] == "no interval: too few patients of Mass, Nodule"
    fitted = rows_of(scores.tables["crossfit"], measure="iobb", overlap_threshold=0.1).loc["mean"]
    assert np.isnan(fitted["accuracy"])
    assert fitted["reason"].endswith("no other half to choose a threshold")


def test_controls_that_are_beaten_are_counted_and_false_boxes_stand_beside_hits(boxed):
    controls = control_grids(boxed, (4, 4), 0.0, np.random.default_rng(1))
    good = masks(boxed)
    good[::5] = 0  # not always right: a side that never varies has no interval
    scores = scored(boxed, good, **controls)
    table = scores.tables["controls"]
    at = table[(table["heat_threshold"] == POOLED) & (table["finding"] == "mean")]
    at = at[(at["measure"] == "iobb") & (at["overlap_threshold"] == 0.1)]
    beaten = int((at["difference_low"] > 0).sum())
    assert scores.headline["controls_beaten_iobb_t10"] == beaten
    assert scores.headline["controls_beaten_pointing"] == 3
    assert scores.headline["mean_false_boxes_iobb_t10"] == 0
    assert scored(boxed, controls["random"]).headline["mean_false_boxes_iobb_t10"] > 0
    own = scored(boxed, controls["random"], again=controls["random"]).headline
    assert own["controls_beaten_iobb_t10"] == own["controls_beaten_pointing"] == 0


def test_pixel_scores_are_in_the_headline_with_their_heat_threshold(boxed, masked):
    exact = np.array([masked.inside(index) for index in range(len(masked.pairs))], np.float16)
    maps = Maps(
        boxed, {"cam": masks(boxed)}, pd.DataFrame(), SIMILARITY, PixelMaps(masked, {"cam": exact})
    )
    headline = score(maps, LIMITS).headline
    assert headline["masked_pairs"] == 26
    for name in ("pointing", "energy", "iou_heat_60", "iou_heat_180"):
        assert headline[f"mask_mean_{name}"] == pytest.approx(1)
