"""The whole of localisation on real radiographs with NIH's own boxes; every figure states its n."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from cxr14.datasets.boxes import read_box_table
from cxr14.datasets.records import Source
from cxr14.figures.overlays import Localized, draw_sheets
from cxr14.io import packaged_file
from cxr14.labels import CLASSES
from cxr14.localization.cam import SaliencySettings
from cxr14.localization.evaluate import make_maps
from cxr14.localization.heatmaps import boxed_pairs
from cxr14.localization.overlap import Thresholds
from cxr14.localization.scores import gather, gather_masked
from cxr14.localization.tables import score
from cxr14.models.network import build_network
from cxr14.preprocessing.decode import shrink
from cxr14.report.terminal_localization import localization_tables

NIH = Source("nih", phantom=False, official_split=True)
SIZE = 224
CONTROLS = {"random", "centre_gaussian", "mean_box"}


@pytest.fixture(scope="module")
def real(nih):
    """The boxed real images as a cache of 224 px, with the records that go with them."""
    every = read_box_table(
        packaged_file("torchxrayvision", "torchxrayvision/data/BBox_List_2017.csv.gz")
    )
    inventory = pd.read_csv(nih / "inventory.csv").rename(columns={"name": "image"})
    boxed = inventory[inventory["n_boxes"] > 0].sort_values("image", ignore_index=True)
    ground_truth = every.frame[every.frame["image"].isin(boxed["image"])]
    shrunk = [shrink((nih / "images" / name).read_bytes(), SIZE, name) for name in boxed["image"]]
    place = ("scale", "offset_x", "offset_y", "source_width", "source_height")
    index = pd.DataFrame([{name: getattr(one, name) for name in place} for one in shrunk])
    index = index.assign(image=boxed["image"], row=range(len(boxed)))
    return (
        np.stack([one.pixels for one in shrunk]),
        index,
        ground_truth,
        boxed[["image", "patient"]],
    )


def test_the_boxed_real_images_go_the_whole_way(real, tmp_path):
    images, index, ground_truth, records = real
    build = partial(build_network, "alexnet", 64, "avg", 10.0)  # untrained: n and form are tested
    pairs = boxed_pairs(ground_truth, index, records)
    none = pd.DataFrame(columns=["row", *CLASSES])
    generator, network = np.random.default_rng(0), build(1).eval()
    boxed = gather(pairs, ground_truth, SIZE, "per_map", CLASSES, generator)
    nothing = pairs.iloc[:0].assign(runs=[], source_width=[], source_height=[])
    masked = gather_masked(nothing, SIZE, "per_map", CLASSES, generator)
    settings = SaliencySettings("gradcam", 8, SIZE)
    maps = make_maps(network, partial(build, 2), images, boxed, masked, none, settings, generator)
    scores = score(maps, Thresholds([0.1, 0.5, 0.9], [0.1, 0.5], [60, 180]))

    assert scores.headline["boxed_images"] == len(images) == 29
    assert scores.headline["boxed_images_without_pixels"] == 0
    assert scores.headline["boxed_pairs"] == len(ground_truth) == len(pairs)
    own = scores.tables["accuracy"]
    keys = {"measure": "iobb", "overlap_threshold": 0.1, "heat_threshold": "pooled"}
    first = own[(own[[*keys]] == list(keys.values())).all(axis=1)]
    counts = first.set_index("finding")["n_pairs"]
    assert counts.drop("mean").to_dict() == {
        name: (ground_truth["finding"] == name).sum() for name in counts.drop("mean").index
    }
    assert counts["mean"] == len(pairs)
    for name in ("accuracy", "controls", "pointing", "crossfit"):
        table = scores.tables[name]
        assert table["n_pairs"].notna().all()
        score_column = "pointing" if name == "pointing" else "accuracy"
        unknown = table[score_column].isna()
        assert (table.loc[unknown, "n_pairs"] == 0).all()
        assert table.loc[~unknown, score_column].between(0, 1).all()
    assert set(scores.tables["controls"]["method"]) == {"gradcam"} | CONTROLS

    chances = pd.DataFrame({f"probability {name}": 0.5 for name in CLASSES}, index=range(29))
    chances = chances.assign(image=index["image"])
    seen = {"images": images, "predictions": chances, "source": NIH}
    found = Localized(pairs, maps.network_grids, "per_map", ground_truth, scores.overlaps)
    draw_sheets(tmp_path, "alexnet, untrained", found, heat_thresholds=[60, 180], **seen)
    assert len(list(tmp_path.glob("*.png"))) == pairs["finding"].nunique()
    assert all(localization_tables("alexnet, untrained, 29 boxed images", scores.tables, NIH))
