"""The gallery: which images are in it, and what it holds of each."""

import base64

import numpy as np
import pandas as pd
import pytest

from cxr14.errors import UserError
from cxr14.io import write_parquet
from cxr14.localization.heatmaps import read_heatmaps
from cxr14.report.elements import Gallery
from cxr14.report.gallery import highlights, read_gallery
from cxr14.report.page import localization_section
from tests.report.images import LOCALIZE, NAMES, SIZE, write_images
from tests.sources import OFFICIAL, PHANTOM


@pytest.fixture(scope="module")
def gallery(written) -> Gallery:
    return read_gallery(written["phantoms"], "resnet50", LOCALIZE, PHANTOM)


def test_each_finding_has_its_hits_before_its_misses(gallery):
    assert [group.finding for group in gallery.groups] == ["Mass", "Nodule"]
    for group in gallery.groups:
        assert len(group.tiles) == 6
        hits = [tile.is_hit for tile in group.tiles]
        assert hits == sorted(hits, reverse=True)
        assert group.summary == f"{sum(hits)} of 6 boxed images hit at heat > 180"


def test_a_tile_has_the_grid_and_the_boxes_of_the_pipeline(gallery, written):
    folder = written["phantoms"] / "localization/resnet50"
    keys, grids = read_heatmaps(folder / "heatmaps.npz")
    detections = pd.read_parquet(folder / "detections.parquet")
    tile = next(t for t in gallery.groups[1].tiles if t.image == NAMES[3])
    (row,) = np.flatnonzero((keys["image"] == NAMES[3]) & (keys["finding"] == "Nodule"))
    values = np.frombuffer(base64.b64decode(tile.grid), "<f2").reshape(tile.shape)
    assert np.array_equal(values, grids[row])
    here = detections[(detections["image"] == NAMES[3]) & (detections["heat_threshold"] == 180)]
    expected = here[["x", "y", "width", "height"]].to_numpy() * SIZE / 1024
    np.testing.assert_allclose(sorted(tile.detected), sorted(expected.tolist()), atol=1e-3)
    assert tile.truth == [[32, 16, 16, 16]]


def test_a_heatmap_without_heat_is_a_miss(gallery):
    tile = next(t for t in gallery.groups[0].tiles if t.image == NAMES[0])
    assert (tile.outcome, tile.is_hit, tile.detected) == ("miss, no heat", False, [])


def test_the_first_screen_shows_hits_and_misses_once_per_finding(gallery):
    chosen = highlights(gallery, PHANTOM)
    for group in chosen.groups:
        findings = [tile.finding for tile in group.tiles]
        assert len(set(findings)) == len(findings) > 0
        assert {tile.is_hit for tile in group.tiles} == {group.finding == "Best hits"}


def test_misses_are_ranked_by_calibrated_probability(gallery, written):
    table = pd.read_parquet(written["phantoms"] / "predictions/resnet50.parquet")
    logits = table.set_index("image")
    tiles = highlights(gallery, PHANTOM).groups[-1].tiles
    expected = [1 / (1 + np.exp(1 - logits.loc[t.image, f"logit {t.finding}"])) for t in tiles]
    np.testing.assert_allclose([tile.calibrated for tile in tiles], expected, rtol=1e-5)
    assert expected == sorted(expected, reverse=True)


def test_pictures_are_labelled_on_phantoms_alone(written, gallery):
    real = read_gallery(written["official"], "resnet50", LOCALIZE, OFFICIAL)
    assert (gallery.note, real.note) == ("phantom", "")


def test_without_boxes_the_gallery_is_empty_and_the_section_says_so(tmp_path, phantoms):
    write_images(tmp_path, ["resnet50"], boxed=0)
    empty = read_gallery(tmp_path, "resnet50", LOCALIZE, PHANTOM)
    assert empty.groups == []
    assert highlights(empty, PHANTOM) is None
    for numbers in phantoms.localize.values():
        numbers["boxed_images"] = 0
    (part,) = localization_section(phantoms, empty).parts
    assert "there is nothing to score" in part


def test_heatmaps_of_other_images_are_refused(tmp_path):
    write_images(tmp_path, ["resnet50"])
    boxes = pd.read_parquet(tmp_path / "data/records/boxes.parquet")
    write_parquet(tmp_path / "data/records/boxes.parquet", boxes[1:])
    with pytest.raises(UserError, match="is not of the boxed images"):
        read_gallery(tmp_path, "resnet50", LOCALIZE, PHANTOM)
