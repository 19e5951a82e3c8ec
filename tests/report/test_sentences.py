"""Sentences on the results follow the numbers."""

import html

import pandas as pd
import pytest

from cxr14.report.overview import key_sentences
from cxr14.report.sentences import (
    OVERLAP,
    boxes,
    calibration,
    controls,
    flagged,
    floor,
    ranking,
    selection,
    sentences,
    subgroup_gap,
)
from cxr14.report.terminal import sentence_list


def change(results, name, where, **values):
    """Set columns of the rows of a table that have some values."""
    table = results.tables[name].reset_index(drop=True)
    rows = pd.Series(True, index=table.index)
    for column, value in where.items():
        rows &= table[column] == value
    assert rows.any()
    for column, value in values.items():
        table.loc[rows, column] = value
    results.tables[name] = table


def test_the_best_backbone_its_lead_and_those_above_the_mark_are_counted(phantoms):
    """differences.csv has alexnet minus resnet50: −.09 (−.14 to −.04)."""
    assert ranking(phantoms) == (
        "resnet50 has the highest AUROC on test, .810 (.790–.830). Its lead over alexnet is "
        "+.090 (+.040 to +.140), which is significant. 1 of 2 backbones reaches .80, 0 with the "
        "whole interval. resnet50 is the best on validation."
    )


def test_another_best_on_validation_is_named(phantoms):
    phantoms.evaluate["alexnet"]["validation_macro_auroc"] = 0.99
    assert ranking(phantoms).startswith("resnet50 has the highest AUROC on test")
    assert ranking(phantoms).endswith("alexnet is the best on validation.")


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.14, 0.01, "+.090 (−.010 to +.140), which is not significant"),
        (0.01, 0.02, "+.090 (−.020 to −.010), which is significant"),
        (None, None, "+.090, without an interval"),
    ],
)
def test_a_lead_is_significant_if_its_interval_excludes_zero(phantoms, low, high, verdict):
    change(phantoms, "differences", {"measure": "macro_auroc"}, low=low, high=high)
    assert f"Its lead over alexnet is {verdict}. " in ranking(phantoms)


def test_a_backbone_below_the_mark_is_not_counted(phantoms):
    change(phantoms, "means", {"backbone": "resnet50", "mean": "macro_auroc"}, value=0.799)
    assert "None of 2 backbones reaches .80. " in ranking(phantoms)


def test_a_single_backbone_has_no_lead_and_one_without_a_score_is_left_out(phantoms):
    change(phantoms, "means", {"backbone": "alexnet", "mean": "macro_auroc"}, value=None)
    assert "lead" not in ranking(phantoms)
    assert "1 of 1 backbone " in ranking(phantoms)
    change(phantoms, "means", {"mean": "macro_auroc"}, value=None)
    assert ranking(phantoms) == "No backbone has an AUROC on test."


def test_methods_without_a_network_stand_beside_as_far_as_they_are_measured(phantoms):
    assert floor(phantoms) is None
    phantoms.baseline["test"] |= {"macro_f1_always_yes": 0.265, "thumbnails_macro_auroc": 0.645}
    assert floor(phantoms) == (
        "For comparison: logistic regression on 16×16 thumbnails has an AUROC of .645; calling "
        "every image positive has an F1 of .265."
    )


def test_the_calibration_error_is_judged_by_its_chance_level_where_there_is_one(phantoms):
    """ECE .1 (.08–.12) with Platt scaling, .3 (.28–.32) as trained."""
    text = "The calibration error (ECE) of resnet50 is .100 (.080–.120) with Platt scaling"
    assert calibration(phantoms) == f"{text} and .300 (.280–.320) as trained."
    phantoms.tables["means"] = phantoms.tables["means"].assign(chance=0.09)
    assert calibration(phantoms) == (
        f"{text} (not significantly above chance, .090) and .300 (.280–.320) as trained "
        "(significantly above chance, .090). Chance is the ECE of a calibrated network."
    )


def test_hits_stand_beside_their_false_boxes_and_the_number_of_pairs(phantoms):
    change(
        phantoms,
        "accuracy",
        {"finding": "mean", "overlap_threshold": 0.1, "heat_threshold": "pooled"},
        accuracy=0.5,
        accuracy_low=0.4,
        accuracy_high=0.6,
    )
    assert boxes(phantoms) == (
        f"At {OVERLAP} resnet50 hits .500 (.400–.600) of 88 pairs of image and finding (11 per "
        "finding, mean over findings) with 1.27 false boxes per pair; boxes at heat 60 and 180 "
        "are pooled."
    )


def test_a_backbone_beats_the_controls_only_if_it_is_ahead_of_every_one(phantoms):
    text = controls(phantoms)[0]  # differences .31 (−.01 to .63)
    assert text.startswith(
        "None of 2 backbones is significantly ahead of every image-blind control at "
        f"{OVERLAP} (random map, centre Gaussian, mean box; 6 paired comparisons, uncorrected). "
        "The nearest: alexnet +.310 (−.010 to +.630) over the "
    )
    change(phantoms, "controls", {"backbone": "resnet50"}, difference_low=0.1)
    change(
        phantoms,
        "controls",
        {"backbone": "resnet50", "method": "centre_gaussian"},
        difference=0.2,
        difference_low=0.01,
        difference_high=0.4,
    )
    text = controls(phantoms)[0]
    assert text.startswith("1 of 2 backbones is significantly ahead")
    assert text.endswith(
        "Smallest leads: resnet50 +.200 (+.010 to +.400) over the centre Gaussian."
    )
    change(phantoms, "controls", {"method": "mean_box"}, difference_low=None)
    assert controls(phantoms)[0].startswith("None of 2 backbones")
    change(phantoms, "controls", {}, difference_low=None, difference_high=None)
    assert "The nearest: alexnet +.310 over the " in controls(phantoms)[0]


def test_the_pointing_game_is_compared_where_it_has_differences(phantoms):
    ends = {"pointing_difference": 0.2, "pointing_difference_low": 0.1}
    table = phantoms.tables["pointing"].reset_index(drop=True)
    table = table.drop(columns=[*ends, "pointing_difference_high"], errors="ignore")
    phantoms.tables["pointing"] = table
    assert len(controls(phantoms)) == 1
    table = table.assign(**ends, pointing_difference_high=0.3)
    table.loc[table["method"] == "gradcam", list(ends)] = None
    phantoms.tables["pointing"] = table
    pointing = controls(phantoms)[1]
    assert pointing.startswith("2 of 2 backbones are significantly ahead")
    assert "in the pointing game (random map, centre Gaussian, mean box; 6 paired" in pointing


def test_without_pairs_nothing_is_said_of_boxes(phantoms):
    change(phantoms, "accuracy", {}, accuracy=None, n_pairs=None)
    change(phantoms, "controls", {}, difference=None)
    change(phantoms, "pointing", {}, pointing_difference=None)
    assert boxes(phantoms) is None
    assert controls(phantoms) == []


def test_the_clearest_gap_is_named_with_the_number_that_chance_would_give(phantoms):
    """Those that exclude 0 are −.05 and .155, each ± .02."""
    assert subgroup_gap(phantoms) == (
        "Of 11 gaps between subgroups of resnet50, 2 have an interval that excludes 0 (about 1 "
        "would by chance); the clearest, by its interval: AUROC, mean over findings, sex × age "
        "F × 60–79 against the rest: +.155 (+.135 to +.175)."
    )
    change(phantoms, "gaps", {}, auroc_low=-0.1, auroc_high=0.1)
    assert subgroup_gap(phantoms).endswith(
        "0 have an interval that excludes 0 (about 1 would by chance)."
    )


def test_what_test_may_have_influenced_depends_on_the_source(phantoms, official):
    assert "settings were compared on phantoms of the test split" in selection(phantoms)
    assert "phantoms" not in selection(official)
    assert "is not recorded" in selection(official)


def test_backbones_whose_heatmaps_stay_alike_are_named(phantoms):
    assert flagged(phantoms).endswith("with all weights random: None of 2 backbones.")
    change(phantoms, "sanity_check", {"backbone": "alexnet"}, unchanged=1)
    assert flagged(phantoms).endswith("with all weights random: 1 of 2 backbones: alexnet.")


def test_the_first_screen_says_whether_the_chosen_backbone_is_flagged(phantoms):
    change(phantoms, "sanity_check", {"backbone": "alexnet"}, unchanged=1)
    assert "flags" not in key_sentences(phantoms)["Localization"]
    change(phantoms, "sanity_check", {"backbone": "resnet50"}, unchanged=1)
    assert "flags the heatmaps of resnet50" in key_sentences(phantoms)["Localization"]


def test_page_and_terminal_state_the_same_sentences(phantoms, pages):
    texts = sentences(phantoms)
    page = html.unescape(pages["phantoms"])
    printed = sentence_list(phantoms).replace("\n  ", " ").splitlines()
    assert len(texts) >= 5
    assert [text for text in texts if text not in page] == []
    assert printed == [f"- {text}" for text in texts]
