"""The heat that maps to 255."""

import numpy as np
import pandas as pd
import pytest

from cxr14.labels import CLASSES, FINDINGS
from cxr14.localization import cam
from cxr14.localization.cam import (
    NO_HEAT,
    NOT_LABELLED,
    PER_MAP,
    SaliencySettings,
    heat_scale,
    raw_heatmaps,
    scale_by_finding,
)
from cxr14.localization.heatmaps import validation_images

IMAGES = np.random.default_rng(3).integers(0, 256, (6, 32, 32), dtype=np.uint8)
NAMES = [f"{letter}.png" for letter in "abcdef"]
RECORDS = pd.DataFrame({"image": NAMES}).assign(**dict.fromkeys(FINDINGS, 0), no_finding=0)
RECORDS.loc[[0, 1, 2], "Mass"] = 1
RECORDS.loc[[2, 4, 5], "Effusion"] = 1
PREDICTIONS = pd.DataFrame({"image": NAMES[::-1], "split": ["test", "test", *["val"] * 4]})
INDEX = pd.DataFrame({"image": NAMES, "row": [5, 4, 3, 2, 1, 0]})


@pytest.fixture
def validation():
    return validation_images(PREDICTIONS, INDEX, RECORDS)


def hottest(network, finding, row):
    pair = np.array([row]), np.array([CLASSES.index(finding)])
    return float(raw_heatmaps(network, IMAGES, *pair, SaliencySettings("cam", 1, 32)).max())


def test_only_validation_images_are_used_in_the_order_of_their_names(validation):
    assert validation[["image", "row"]].to_numpy().tolist() == [
        ["a.png", 5], ["b.png", 4], ["c.png", 3], ["d.png", 2],
    ]  # fmt: skip


def test_the_top_is_the_median_of_the_hottest_pixels_of_labelled_validation_images(
    tiny, validation
):
    network = tiny()
    network.prediction.weight.data.abs_()  # so every map has heat
    table = heat_scale(
        "fixed", network, IMAGES, validation, ["Effusion", "Mass"], SaliencySettings("cam", 2, 32)
    )
    assert table["images"].tolist() == [1, 3]  # Effusion: c alone, e and f are for testing
    assert table["heat_scale"].tolist() == pytest.approx(
        [
            hottest(network, "Effusion", 3),
            np.median([hottest(network, "Mass", row) for row in (5, 4, 3)]),
        ]
    )
    assert table["reason"].isna().all()
    assert scale_by_finding(table) == dict(
        zip(["Effusion", "Mass"], table["heat_scale"], strict=True)
    )


def test_a_finding_that_no_validation_image_has_takes_the_median_of_the_others(tiny, validation):
    network = tiny()
    network.prediction.weight.data.abs_()
    network.prediction.weight.data[CLASSES.index("Effusion")] = 0  # a finding without heat
    findings = ["Effusion", "Mass", "Nodule"]
    table = heat_scale(
        "fixed", network, IMAGES, validation, findings, SaliencySettings("gradcam", 2, 32)
    )
    assert table["images"].tolist() == [1, 3, 0]
    assert table["heat_scale"].nunique() == 1
    assert table["reason"].fillna("").tolist() == [NO_HEAT, "", NOT_LABELLED]


def test_without_any_heat_there_is_no_scale_and_one_sentence_says_so(tiny, validation):
    network = tiny()
    network.prediction.weight.data.abs_().neg_()
    with pytest.raises(
        ValueError, match=r"needs heat in validation .* localize\.scaling to per_map"
    ):
        heat_scale(
            "fixed", network, IMAGES, validation, ["Mass"], SaliencySettings("gradcam", 2, 32)
        )


def test_per_map_uses_no_image_and_has_the_same_columns(tiny, validation):
    network = tiny()
    own = heat_scale(
        "per_map", network, IMAGES, validation, ["Mass"], SaliencySettings("cam", 2, 32)
    )
    assert network.passes == 0
    assert own["reason"].tolist() == [PER_MAP]
    assert scale_by_finding(own) is None
    network.prediction.weight.data.abs_()
    fixed = heat_scale(
        "fixed", network, IMAGES, validation, ["Mass"], SaliencySettings("cam", 2, 32)
    )
    assert list(own.columns) == list(fixed.columns)


def test_no_findings_give_an_empty_scale(tiny, validation):
    for scaling in ("per_map", "fixed"):
        assert (
            len(heat_scale(scaling, tiny(), IMAGES, validation, [], SaliencySettings("cam", 2, 32)))
            == 0
        )


def test_of_many_images_some_are_sampled_evenly(tiny, validation, monkeypatch):
    monkeypatch.setattr(cam, "MAX_VALIDATION_IMAGES", 2)
    network = tiny()
    network.prediction.weight.data.abs_()
    table = heat_scale(
        "fixed", network, IMAGES, validation, ["Mass"], SaliencySettings("cam", 2, 32)
    )
    assert table["images"].tolist() == [2]
    assert table["heat_scale"][0] == pytest.approx(
        np.mean([hottest(network, "Mass", row) for row in (5, 3)])  # the first and the last
    )
