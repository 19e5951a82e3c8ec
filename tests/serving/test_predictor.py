"""One predictor for networks and ensembles: what it returns is what evaluate would have written."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from cxr14.config.localize import LocalizeParams
from cxr14.datasets.records import Source
from cxr14.errors import UserError
from cxr14.io import write_csv
from cxr14.labels import CLASSES, FINDINGS
from cxr14.models.inference import prepare
from cxr14.models.network import build_network
from cxr14.report.predictions import Tables
from cxr14.serving.description import describe, read_serving, write_description
from cxr14.serving.files import Input
from cxr14.serving.predictor import Predictor
from cxr14.serving.refusals import as_shrunk
from cxr14.serving.results import order_lost, score_inputs

SIDE, INPUT = 48, 64
HEAD = {"transition_channels": 8, "pooling": "avg", "lse_r": 10.0, "output_stride": 32}
AUGMENT = {"flip": 1.0, "rotation": 0.0, "scale": 0.0, "shift": 0.0, "brightness": 0.0}
MODEL = {
    "backbone": "alexnet",
    "classes": list(CLASSES),
    "input_size": INPUT,
    "params": {"train": {"augment": AUGMENT}},
}
LOCALIZE = LocalizeParams(
    method="layercam",
    layer=8,
    smoothing=0.0,
    scaling="per_map",
    size="train",
    heat_thresholds=[60, 180],
    t_iobb=[0.1],
    t_iou=[0.1],
    batch_size=4,
)


@pytest.fixture(scope="module")
def networks():
    built = [build_network("alexnet", **HEAD, seed=seed).eval() for seed in (0, 1)]
    with torch.no_grad():
        for network in built:
            network.prediction.weight.mul_(50)  # so that images differ clearly
    return built


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE), np.uint8)


def decision(**more):
    scaling = {name: {"slope": 2.0, "intercept": -1.0} for name in CLASSES} | {"Hernia": None}
    thresholds = dict.fromkeys(CLASSES, 0.5) | {"Mass": None}
    return {"format": 1, "thresholds": thresholds, "platt": scaling, "reasons": {}} | more


def description(tmp_path, heat_scale=np.nan):
    path = tmp_path / "scale.csv"
    rows = {"finding": ["Mass", "Nodule", "Edema"], "heat_scale": [heat_scale, heat_scale, 4.0]}
    if np.isnan(heat_scale):
        rows["heat_scale"] = [np.nan] * 3
    write_csv(path, pd.DataFrame(rows))
    return describe("alexnet", Source("phantom", True, False), SIDE, LOCALIZE, path)


def predictor(networks, tmp_path, **more):
    members = [(network, MODEL) for network in networks]
    return Predictor(members, decision(**more), description(tmp_path))


def forward(network, images):
    with torch.inference_mode():
        return network(prepare(torch.from_numpy(images), INPUT)).numpy()


def test_one_network_gives_its_probabilities_and_no_spread(networks, images, tmp_path):
    out = predictor(networks[:1], tmp_path).predict(images)
    logits = forward(networks[0], images)
    np.testing.assert_allclose(out.logits, logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out.probabilities, expit(logits), atol=1e-5)
    assert out.spread is None


def test_probabilities_are_calibrated_by_the_scaling_of_their_class(networks, images, tmp_path):
    out = predictor(networks[:1], tmp_path).predict(images)
    hernia = CLASSES.index("Hernia")
    expected = expit(2.0 * out.logits.astype(np.float64) - 1.0)
    expected[:, hernia] = np.nan  # without a scaling there is no calibrated probability
    np.testing.assert_allclose(out.calibrated, expected, rtol=1e-12)


def test_a_class_is_called_at_its_threshold_on_either_scale(networks, images, tmp_path):
    model = predictor(networks[:1], tmp_path)
    out = model.predict(images)
    assert out.above.any()
    assert not out.above.all()
    mass = CLASSES.index("Mass")
    assert not out.above[:, mass].any()  # no threshold, never called
    assert np.isnan(model.calibrated_thresholds[mass])
    scaled = [n for n, name in enumerate(CLASSES) if name not in ("Mass", "Hernia")]
    on_calibrated = out.calibrated[:, scaled] >= model.calibrated_thresholds[scaled]
    np.testing.assert_array_equal(out.above[:, scaled], on_calibrated)
    assert out.called(0) == [n for n, yes in zip(CLASSES, out.above[0], strict=True) if yes]


def test_an_ensemble_averages_probabilities_and_reports_their_spread(networks, images, tmp_path):
    out = predictor(networks, tmp_path).predict(images)
    alone = np.stack([expit(forward(network, images)) for network in networks])
    np.testing.assert_allclose(out.probabilities, alone.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(out.spread, alone.std(axis=0), atol=1e-5)


def test_thresholds_of_tta_are_used_with_tta(networks, images, tmp_path):
    out = predictor(networks[:1], tmp_path, tta={"views": 1}).predict(images)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    both = [expit(forward(networks[0], form)) for form in (images, mirrored)]
    np.testing.assert_allclose(out.probabilities, np.mean(both, axis=0), atol=1e-3)


def test_networks_may_have_different_numbers_of_views(networks, images, tmp_path):
    turned = {"train": {"augment": AUGMENT | {"rotation": 10.0}}}
    members = [(networks[0], MODEL), (networks[1], MODEL | {"params": turned})]
    described = description(tmp_path)
    together = Predictor(members, decision(tta=True), described).predict(images)
    alone = [Predictor([m], decision(tta=True), described).predict(images) for m in members]
    probabilities = np.stack([out.probabilities for out in alone])
    np.testing.assert_allclose(together.probabilities, probabilities.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(together.spread, probabilities.std(axis=0), atol=1e-5)


@pytest.mark.parametrize("slope", [0.0, -2.0])
def test_a_calibration_that_reverses_scores_has_no_threshold(networks, images, tmp_path, slope):
    chosen = decision()
    chosen["platt"] = chosen["platt"] | {"Edema": {"slope": slope, "intercept": -1.0}}
    model = Predictor([(networks[0], MODEL)], chosen, description(tmp_path))
    files = [Input(f"{n}.png", as_shrunk(pixels)) for n, pixels in enumerate(images)]
    table = score_inputs(model, None, files, force=True)
    edema = table[table["finding"] == "Edema"]
    assert edema["threshold"].isna().all()
    assert edema["probability"].notna().all()
    assert (edema["called"] == (edema["uncalibrated"] >= 0.5)).all()
    assert "Edema" in order_lost(table)
    assert "Nodule" not in order_lost(table)
    (shown,) = _tables(model, table)
    assert "Edema" in shown.caption.split(":")[-2]


def _tables(model, table):
    tables = Tables(len(CLASSES), "alexnet", model.description, decide=True)
    tables.add(table)
    return tables.lay_out()


def test_heatmaps_and_boxes_are_in_pixels_of_the_file(networks, images, tmp_path):
    model = predictor(networks[:1], tmp_path)
    pairs = pd.DataFrame({"image": ["a", "b"], "finding": ["Mass", "Nodule"], "row": [0, 3]})
    grids = model.heatmaps(images, pairs)
    assert grids.shape[0] == 2
    assert grids.max() == 1
    placed = pairs.assign(scale=0.5, offset_x=4.0, offset_y=0.0)
    boxes = model.detect(placed, grids)
    cached = model.detect(pairs.assign(scale=1.0, offset_x=0.0, offset_y=0.0), grids)
    assert set(boxes["heat_threshold"]) == {60, 180}
    np.testing.assert_allclose(boxes["x"], (cached["x"] - 4) / 0.5)
    np.testing.assert_allclose(boxes["height"], cached["height"] / 0.5)


def test_an_ensemble_averages_heatmaps(networks, images, tmp_path):
    pairs = pd.DataFrame({"image": ["a"], "finding": ["Mass"], "row": [0]})
    alone = [predictor([n], tmp_path).heatmaps(images, pairs) for n in networks]
    both = predictor(networks, tmp_path).heatmaps(images, pairs)
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=2e-3)


def test_a_finding_without_a_heat_scale_takes_the_median_of_the_others(tmp_path):
    scale = description(tmp_path, heat_scale=2.0).heatmaps.heat_scale
    assert scale == dict.fromkeys(FINDINGS, 2.0) | {"Edema": 4.0}
    assert description(tmp_path).heatmaps.heat_scale is None


def test_fixed_scaling_without_a_common_scale_is_described_as_per_map(tmp_path):
    scale = tmp_path / "scale.csv"
    write_csv(scale, pd.DataFrame({"finding": ["Mass"], "heat_scale": [np.nan]}))
    fixed = LOCALIZE.model_copy(update={"scaling": "fixed"})
    heatmaps = describe("ensemble", Source("phantom", True, False), SIDE, fixed, scale).heatmaps
    assert (heatmaps.scaling, heatmaps.heat_scale) == ("per_map", None)


def test_another_method_than_the_described_one_is_scaled_per_map(networks, images, tmp_path):
    members = [(networks[0], MODEL)]
    model = Predictor(members, decision(), description(tmp_path, heat_scale=1e6))
    pairs = pd.DataFrame({"image": ["a"], "finding": ["Mass"], "row": [0]})
    assert model.heatmaps(images, pairs).max() < 0.1  # 1e6 is far above any heat
    assert model.heatmaps(images, pairs, "gradcam_pp").max() == 1
    assert (model.scaling(), model.scaling("gradcam_pp")) == ("fixed", "per_map")


def test_a_description_is_read_back_and_a_damaged_one_is_refused(tmp_path):
    path, written = tmp_path / "alexnet.json", description(tmp_path)
    write_description(path, written)
    assert read_serving(path) == written
    path.write_text(path.read_text().replace('"cached_size": 48', '"cached_size": "48"'))
    with pytest.raises(UserError, match="cached_size"):
        read_serving(path)
