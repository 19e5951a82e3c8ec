"""From a model's folder to boxes on disk, the same for both pipelines."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr14.config.localize import LocalizeParams
from cxr14.datasets.records import Source, write_source
from cxr14.errors import UserError
from cxr14.io import read_json, write_npy, write_parquet
from cxr14.labels import CLASSES, LABEL_COLUMNS
from cxr14.localization import evaluate
from cxr14.localization.evaluate import maps_of_model, read_inputs
from cxr14.masks import MASKS, mask_table, write_masks
from cxr14.models.network import build_network
from stages import sheets
from stages.localize_iobb import write_scores

PHANTOM = Source("phantom", phantom=True, official_split=False)
COUNT, SIDE = 12, 96
NAMES = [f"{number:02d}.png" for number in range(COUNT)]
HEAD = {"transition_channels": 8, "pooling": "avg", "lse_r": 10.0, "output_stride": 32}
DESCRIPTION = {"head": HEAD, "input_size": 64}
PREDICTIONS = pd.DataFrame({"image": NAMES, "split": ["val"] * 4 + ["test"] * 8}).assign(
    **{f"{kind} {name}": 0.25 for kind in ("logit", "probability") for name in CLASSES}
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Noise in the cache, boxes on test alone, and an AlexNet that learnt nothing."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    write_npy("data/cache/images.npy", rng.integers(0, 256, (COUNT, SIDE, SIDE), dtype=np.uint8))
    place = {"scale": SIDE / 1024, "offset_x": 0.0, "offset_y": 0.0}
    place |= {"source_width": 1024, "source_height": 1024}
    index = pd.DataFrame({"row": range(COUNT), "image": NAMES}).assign(**place)
    write_parquet("data/cache/index.parquet", index)
    labels = pd.DataFrame(np.ones((COUNT, 15), np.uint8), columns=[*LABEL_COLUMNS])
    records = labels.assign(image=NAMES, patient=range(COUNT), has_pixels=True)
    write_parquet("data/records/images.parquet", records)
    split = records[["image", "patient"]].assign(split=PREDICTIONS["split"].to_numpy())
    write_parquet("data/split/split.parquet", split)
    box = {"finding": "Mass", "x": 100.0, "y": 200.0, "width": 300.0, "height": 300.0}
    write_parquet("data/records/boxes.parquet", pd.DataFrame({"image": NAMES[4:]}).assign(**box))
    mask = np.zeros((256, 256), bool)
    mask[50:125, 25:100] = True
    masks = [(name, finding, mask) for name in NAMES[4:] for finding in ("Edema", "Mass")]
    write_masks(MASKS, mask_table(masks))
    write_source(PHANTOM)
    network = build_network("alexnet", *list(HEAD.values())[:3], seed=1).eval()
    monkeypatch.setattr(evaluate, "load_model", lambda folder: (network, DESCRIPTION))


PARAMS = LocalizeParams(
    method="cam",
    layer="last",
    smoothing=0.0,
    scaling="per_map",
    size="cache",
    heat_thresholds=[60, 180],
    t_iobb=[0.1],
    t_iou=[0.1],
    batch_size=4,
)


def maps(predictions=PREDICTIONS, **changes):
    params = PARAMS.model_copy(update=changes)
    return maps_of_model(Path("models/alexnet"), "alexnet", read_inputs(), predictions, params)


def test_boxes_heatmaps_metrics_and_sheets_are_written_below_the_given_folder(project):
    tables = write_scores(Path("own"), "alexnet", maps(), PARAMS, PHANTOM)
    write_parquet("own/predictions/alexnet.parquet", PREDICTIONS)
    sheets.draw(Path("own"), "alexnet", PARAMS)
    assert read_json("own/metrics/localize/alexnet.json")["boxed_images"] == 8
    found = pd.read_parquet("own/localization/alexnet/detections.parquet")
    assert set(found["image"]) == set(NAMES[4:])
    assert Path("own/localization/alexnet/heatmaps.npz").exists()
    assert Path("own/plots/localize/alexnet/Mass.png").exists()
    assert "8 boxed images" in tables[0].title
    headline = pd.read_csv("own/metrics/localize/alexnet/headline.csv").set_index("metric")
    numbers = read_json("own/metrics/localize/alexnet.json")
    assert headline.loc["mean_energy", "value"] == numbers["mean_energy"]
    pixels = pd.read_csv("own/metrics/localize/alexnet/pixels.csv").set_index("finding")
    assert set(pixels.loc["Edema", "n_pairs"]) == {8}  # it has a mask and no box


@pytest.mark.parametrize("cores", [1, 2])
def test_the_sheets_of_several_networks_are_the_same_bytes_drawn_at_once(
    project, monkeypatch, cores
):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    roots, names = [Path("a"), Path("b")], ["alexnet", "other"]
    for root, name in zip(roots, names, strict=True):
        write_scores(root, name, maps(), PARAMS, PHANTOM)
        write_parquet(root / f"predictions/{name}.parquet", PREDICTIONS)
    sheets.draw_all(roots, names, PARAMS)
    sheet = Path("b/plots/localize/other/Mass.png")
    drawn = sheet.read_bytes()
    sheets.draw(Path("b"), "other", PARAMS)
    assert sheet.read_bytes() == drawn
    assert Path("a/plots/localize/alexnet/Mass.png").exists()


def test_a_missing_file_of_one_network_of_several_is_one_sentence(project, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    write_scores(Path(), "alexnet", maps(), PARAMS, PHANTOM)
    write_parquet("predictions/alexnet.parquet", PREDICTIONS)
    with pytest.raises(UserError, match=r"^localization/other/heatmaps\.npz [^\n]*$"):
        sheets.draw_all([Path(), Path()], ["alexnet", "other"], PARAMS)


def test_images_enter_at_the_size_of_the_training_or_of_the_cache(project):
    assert maps(size="cache").network_grids.shape[1:] == (2, 2)  # AlexNet at 96 px
    assert maps(size="train").network_grids.shape[1:] == (1, 1)  # at 64 px


def test_the_layer_sets_the_grid_of_the_maps_and_of_the_control_baselines(project):
    finer = maps(method="layercam", layer=4)
    assert finer.network_grids.shape[1:] == (23, 23)  # AlexNet's first layer at 96 px
    assert {grids.shape[1:] for grids in finer.grids.values()} == {(23, 23)}
    assert {grids.shape[1:] for grids in finer.pixels.grids.values()} == {(23, 23)}


def test_smoothing_reaches_the_network_and_every_control_baseline(project):
    method = {"method": "layercam", "layer": 4}
    rough, smooth = maps(**method), maps(**method, smoothing=0.1)
    for name, grids in smooth.grids.items():
        assert (grids != rough.grids[name]).any()


def test_boxed_images_that_the_network_was_chosen_on_are_refused(project):
    """The second pipeline once localised without asking."""
    with pytest.raises(ValueError, match=r"1 boxed image\(s\) are not in test, first 04\.png"):
        maps(PREDICTIONS.assign(split=["val"] * 5 + ["test"] * 7))
