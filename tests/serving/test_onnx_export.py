"""ONNX files of networks: the same logits as torch, for any batch size, and what they say."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cxr14.errors import UserError
from cxr14.io import read_json, write_json
from cxr14.labels import CLASSES
from cxr14.metrics.calibration import platt_probabilities
from cxr14.models.backbones import STUDIED
from cxr14.models.network import build_network
from cxr14.models.serialization import save_model
from cxr14.serving import onnx_export
from cxr14.serving.onnx_export import (
    CALIBRATED,
    INPUT,
    LOGITS,
    MOST_COMPARED,
    OPSET,
    PROBABILITIES,
    TOLERANCE,
    compare,
    export,
    facts,
    graph_of,
    read_trained,
    rows_of_test,
    session,
)

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

SIDE, INPUT_SIZE = 72, 64
IMAGES = np.random.default_rng(5).integers(0, 256, (5, SIDE, SIDE), dtype=np.uint8)
HEAD: dict[str, Any] = {
    "transition_channels": 8,
    "pooling": "avg",
    "lse_r": 10.0,
    "output_stride": 32,
}
PLATT = {name: {"slope": 0.5 + n / 10, "intercept": -n / 5} for n, name in enumerate(CLASSES)}


def write_trained(root: Path, backbone: str = "alexnet", **head: Any) -> tuple[Path, Path]:
    """Write a random network and a decision, in which Hernia has no calibration."""
    head = HEAD | head
    network = build_network(backbone, **head, seed=3).eval()
    with torch.no_grad():
        network.prediction.weight.mul_(10)
    facts = {"backbone": backbone, "input_size": INPUT_SIZE, "head": head, "source": "phantom"}
    save_model(root / "model", network, facts | {"phantom": True, "params": {}})
    decision = {"thresholds": dict.fromkeys(CLASSES, 0.25) | {"Hernia": None}, "reasons": {}}
    write_json(root / "decision.json", decision | {"platt": PLATT | {"Hernia": None}})
    return root / "model", root / "decision.json"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """A random AlexNet and its decision."""
    return write_trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def content(files) -> bytes:
    """Its ONNX file."""
    return export(read_trained(*files), IMAGES).content


def outputs_of(content: bytes, images: np.ndarray) -> dict[str, np.ndarray]:
    """What onnxruntime computes."""
    opened = session(content)
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(None, {INPUT: images}), strict=True))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_batch_of_any_size_has_the_logits_of_torch(files, content: bytes, count: int) -> None:
    with torch.inference_mode():
        expected = graph_of(read_trained(*files))(torch.from_numpy(IMAGES[:count]))
    outputs = outputs_of(content, IMAGES[:count])
    assert list(outputs) == [LOGITS, PROBABILITIES, CALIBRATED]
    for found, wanted in zip(outputs.values(), expected, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), atol=TOLERANCE, rtol=0)


def test_calibrated_probabilities_are_those_of_the_decision(content: bytes) -> None:
    outputs = outputs_of(content, IMAGES)
    expected = platt_probabilities(outputs[LOGITS], PLATT | {"Hernia": None}, CLASSES)
    np.testing.assert_allclose(outputs[CALIBRATED], expected, atol=1e-6)
    assert np.isnan(outputs[CALIBRATED][:, CLASSES.index("Hernia")]).all()


def test_the_metadata_says_what_the_file_is(files, content: bytes) -> None:
    known = session(content).get_modelmeta().custom_metadata_map
    assert json.loads(known["classes"]) == list(CLASSES)
    assert json.loads(known["thresholds"]) == read_json(files[1])["thresholds"]
    assert known["weights_sha256"] == read_json(files[0] / "model.json")["weights_sha256"]
    assert (known["cached_size"], known["input_size"]) == (str(SIDE), str(INPUT_SIZE))
    assert json.loads(known["phantom"]) is True
    assert "says nothing about patients" in known["note"]
    assert "Not a medical device" in known["intended_use"]


def test_the_opset_is_the_one_that_the_file_imports(files, content: bytes) -> None:
    imported = onnx.load_from_string(content).opset_import
    versions = {entry.domain: entry.version for entry in imported}
    assert versions[""] == OPSET
    assert session(content).get_modelmeta().custom_metadata_map["opset"] == str(OPSET)


def test_a_path_of_the_user_is_not_in_the_metadata(files) -> None:
    trained = read_trained(*files)
    params = {"params": {"model": {"weights": "/home/user/start.pt"}}}
    known = facts(trained._replace(description={**trained.description, **params}), SIDE)
    assert known["initial_weights"] == "a file of the user"
    assert "/home/user" not in str(known)


def test_all_test_images_are_compared_and_of_many_evenly_spaced_ones() -> None:
    names = [f"{number}.png" for number in range(9000)]
    index = pd.DataFrame({"image": names[::-1], "row": range(9000)})
    split = pd.DataFrame({"image": names, "split": ["test", "val", "train"] * 3000})
    rows = rows_of_test(index, split)
    assert len(set(rows)) == MOST_COMPARED
    assert set(index["image"].iloc[rows]) <= set(split.loc[split["split"] == "test", "image"])
    assert (rows[0], rows[-1]) == (2, 8999)
    few = split[:6]
    assert sorted(index["image"].iloc[rows_of_test(index, few)]) == ["0.png", "3.png"]


def test_another_process_in_another_folder_writes_the_same_bytes(
    files, content: bytes, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    code = (
        "import sys, numpy as np; from cxr14.serving.onnx_export import *; "
        "out = export(read_trained(*sys.argv[1:]), np.load('images.npy')); "
        "sys.stdout.write(out.sha256)"
    )
    line = [sys.executable, "-c", code, *map(str, files)]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == hashlib.sha256(content).hexdigest()
    assert str(Path(onnx_export.__file__).parents[2]).encode() not in content


def test_a_network_that_differs_from_torch_is_refused(
    files, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = read_trained(*files)
    other = session(content)
    with torch.no_grad():
        trained.network.prediction.bias[3] += 0.001
    assert compare(other, graph_of(trained), IMAGES) == pytest.approx(0.001, rel=0.05)
    monkeypatch.setattr(onnx_export, "session", lambda _: other)
    with pytest.raises(UserError, match="alexnet: a logit of the ONNX graph differs"):
        export(trained, IMAGES)


def test_calibration_chosen_with_test_time_augmentation_is_left_out(files, tmp_path: Path) -> None:
    write_json(tmp_path / "decision.json", read_json(files[1]) | {"tta": True})
    trained = read_trained(files[0], tmp_path / "decision.json")
    assert len(graph_of(trained)(torch.from_numpy(IMAGES))) == 2
    known = facts(trained, SIDE)
    assert known["thresholds"] == known["calibration"] == "null"
    assert "test-time augmentation" in known["thresholds_from"]


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"needs onnxscript: .*the extra `onnx`"):
        onnx_export.check_installed()


@pytest.mark.parametrize(
    ("pooling", "lse_r"),
    [
        ("lse", 10.0),
        pytest.param("lse", 0.5, marks=pytest.mark.graph),
        pytest.param("max", 10.0, marks=pytest.mark.graph),
    ],
)
def test_other_poolings_and_finer_maps_agree_too(
    tmp_path: Path, pooling: str, lse_r: float
) -> None:
    files = write_trained(tmp_path, pooling=pooling, lse_r=lse_r, output_stride=16)
    assert export(read_trained(*files), IMAGES).difference < TOLERANCE


@pytest.mark.graph
@pytest.mark.parametrize(
    "backbone",
    [
        *(name for name in STUDIED if name != "alexnet"),
        "timm:resnet10t",
        "timm:vit_tiny_patch16_224",
    ],
)
@pytest.mark.parametrize("stride", [32, 16])
def test_every_backbone_agrees_with_torch(tmp_path: Path, backbone: str, stride: int) -> None:
    if backbone.startswith("timm:"):
        pytest.importorskip("timm")
    files = write_trained(tmp_path, backbone, output_stride=stride)
    assert export(read_trained(*files), IMAGES).difference < TOLERANCE
