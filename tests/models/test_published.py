"""Published chest X-ray weights: true names and shapes, images, and the record in model.json.

The files themselves are not at hand. Names and shapes are those of the code that wrote or reads
them: torchxrayvision's models.py, EVA-X's eva_x.py, transformers' modeling_dinov2.py.
"""

import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from cxr14.config.blocks import read_model, read_train
from cxr14.errors import UserError
from cxr14.evaluation.measures import saw_test_images
from cxr14.io import read_json, sha256
from cxr14.models import published as module
from cxr14.models.backbones import build_classifier
from cxr14.models.inference import normalise
from cxr14.models.network import build_network
from cxr14.models.published import (
    PUBLISHED,
    check_published,
    dinov2_names,
    note_on,
)
from cxr14.models.serialization import load_model, save_model
from cxr14.models.weight_files import read_pickled_network
from cxr14.training.inputs import initial_network, published_weights
from stages import pretrained
from tests.conftest import ROOT

XRV = "densenet121-res224-chex"


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    statistics = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{key}": (channels,) for key in statistics} | {
        f"{name}.num_batches_tracked": ()
    }


def torchxrayvision_shapes() -> dict[str, tuple[int, ...]]:
    """A state dict of torchxrayvision.models.DenseNet, with its 18 findings."""
    shapes: dict[str, tuple[int, ...]] = {
        "op_threshs": (18,),
        "features.conv0.weight": (64, 1, 7, 7),
    }
    shapes |= norm("features.norm0", 64)
    width = 64
    for block, layers in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, layers + 1):
            at = f"features.denseblock{block}.denselayer{layer}"
            shapes |= norm(f"{at}.norm1", width) | {f"{at}.conv1.weight": (128, width, 1, 1)}
            shapes |= norm(f"{at}.norm2", 128) | {f"{at}.conv2.weight": (32, 128, 3, 3)}
            width += 32
        if block < 4:
            at = f"features.transition{block}"
            shapes |= norm(f"{at}.norm", width) | {f"{at}.conv.weight": (width // 2, width, 1, 1)}
            width //= 2
    shapes |= norm("features.norm5", width)
    return shapes | {"classifier.weight": (18, width), "classifier.bias": (18,)}


def eva_x_shapes(width: int, separate: bool) -> dict[str, tuple[int, ...]]:
    """The weights of EVA-02 in EVA-X's files, of masked image modelling."""
    hidden = int(width * 4 * 2 / 3)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 14 * 14 + 1, width),
        "mask_token": (1, 1, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        "rope.freqs_cos": (196, 64),
        "rope.freqs_sin": (196, 64),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "lm_head.weight": (512, width),
        "lm_head.bias": (512,),
    }
    for block in range(12):
        at = f"blocks.{block}"
        attention = {"proj.weight": (width, width), "proj.bias": (width,)}
        attention |= {"q_bias": (width,), "v_bias": (width,), "rope.freqs_cos": (196, 64)}
        matrices = ("q_proj", "k_proj", "v_proj")
        if separate:
            attention |= {f"{name}.weight": (width, width) for name in matrices}
            mlp = {"ffn_ln.weight": (hidden,), "ffn_ln.bias": (hidden,)}
            mlp |= {f"{name}.weight": (hidden, width) for name in ("w1", "w2")}
            mlp |= {f"{name}.bias": (hidden,) for name in ("w1", "w2")}
        else:
            attention["qkv.weight"] = (3 * width, width)
            mlp = {"w12.weight": (2 * hidden, width), "w12.bias": (2 * hidden,)}
        mlp |= {"w3.weight": (width, hidden), "w3.bias": (width,)}
        norms = {f"norm{i}.{kind}": (width,) for i in (1, 2) for kind in ("weight", "bias")}
        shapes |= {f"{at}.attn.{name}": shape for name, shape in attention.items()}
        shapes |= {f"{at}.mlp.{name}": shape for name, shape in mlp.items()}
        shapes |= {f"{at}.{name}": shape for name, shape in norms.items()}
    return shapes


def dinov2_shapes() -> dict[str, tuple[int, ...]]:
    """A state dict of transformers' Dinov2Model, base size, 518 px."""
    width = 768
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.mask_token": (1, width),
        "embeddings.position_embeddings": (1, 37 * 37 + 1, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, 14, 14),
        "embeddings.patch_embeddings.projection.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
    }
    linear = {f"attention.attention.{name}": (width, width) for name in ("query", "key", "value")}
    linear |= {"attention.output.dense": (width, width)}
    linear |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
    for layer in range(12):
        at = f"encoder.layer.{layer}"
        shapes |= {f"{at}.{name}.weight": shape for name, shape in linear.items()}
        shapes |= {f"{at}.{name}.bias": shape[:1] for name, shape in linear.items()}
        for number in (1, 2):
            shapes[f"{at}.layer_scale{number}.lambda1"] = (width,)
            shapes |= {f"{at}.norm{number}.{kind}": (width,) for kind in ("weight", "bias")}
    return shapes


SHAPES = {
    XRV: torchxrayvision_shapes(),
    "eva-x-tiny": eva_x_shapes(192, separate=False),
    "eva-x-small": eva_x_shapes(384, separate=False),
    "eva-x-base": eva_x_shapes(768, separate=True),
    "rad-dino": dinov2_shapes(),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_tensor_of_a_file_has_its_place_in_the_network_and_none_is_left(name):
    entry = PUBLISHED[name]
    theirs = {key: torch.empty(shape, device="meta") for key, shape in SHAPES[name].items()}
    converted = {key: tensor.shape for key, tensor in entry.convert(theirs).items()}
    with torch.device("meta"):
        classifier, _ = build_classifier(entry.backbone, name)
    ours = {key: tensor.shape for key, tensor in classifier.state_dict().items()}
    assert converted == {key: s for key, s in ours.items() if not key.startswith("classifier.")}


def test_query_key_and_value_are_joined_in_timms_order():
    at = "encoder.layer.3.attention.attention"
    parts = {"value": 2.0, "query": 0.0, "key": 1.0}
    tensors = {f"{at}.{name}.bias": torch.full((2,), value) for name, value in parts.items()}
    joined = dinov2_names(tensors)
    assert list(joined) == ["blocks.3.attn.qkv.bias"]
    assert joined["blocks.3.attn.qkv.bias"].tolist() == [0, 0, 1, 1, 2, 2]


def test_torchxrayvisions_network_sees_one_channel_between_minus_1024_and_1024():
    """As torchxrayvision.datasets.normalize: (2 · pixel / 255 − 1) · 1024."""
    grey = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
    seen = build_classifier("densenet121", XRV)[1][0](normalise(grey))
    assert seen.shape == (1, 1, 8, 8)
    assert torch.allclose(seen, (2 * grey - 1) * 1024, atol=1e-2)


class DenseNet(nn.Module):
    """Stands for torchxrayvision.models.DenseNet, by module and name in the pickled file."""

    __module__ = "torchxrayvision.models"

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


@pytest.fixture
def pickled(tmp_path, monkeypatch):
    """Save a network as a whole under the name that torchxrayvision's have, then forget it."""

    def save(network: nn.Module, old_format: bool) -> Path:
        path = tmp_path / "network.pt"
        fake = ModuleType("torchxrayvision.models")
        fake.DenseNet = DenseNet
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "torchxrayvision", ModuleType("torchxrayvision"))
            patch.setitem(sys.modules, "torchxrayvision.models", fake)
            torch.save(network, path, _use_new_zipfile_serialization=not old_format)
        return path

    return save


@pytest.mark.parametrize("old_format", [True, False])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_network_pickled_as_a_whole_gives_its_weights_without_its_code(pickled, old_format):
    network = DenseNet()
    path = pickled(network, old_format)
    assert "torchxrayvision" not in sys.modules
    tensors, state = read_pickled_network(path), network.state_dict()
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], state[name]) for name in state)


class Command:
    """What a pickled file could do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("old_format", [True, False])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_pickled_network_that_holds_code_is_refused_and_none_of_it_runs(
    pickled, old_format, tmp_path, checkpoints
):
    network = DenseNet()
    network.extra = Command(tmp_path / "ran")
    pickled(network, old_format).rename(checkpoints(XRV))
    with pytest.raises(
        UserError, match=r"cannot be read as a network of torchxrayvision \(it names"
    ):
        module.convert_published(XRV, "densenet121", tmp_path / "out.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """Where the file of published weights has to be."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def place(name: str) -> Path:
        path = PUBLISHED[name].local
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    return place


def test_a_missing_file_is_named_with_address_size_licence_and_place(checkpoints):
    file = checkpoints("rad-dino")
    assert file.name == "rad-dino-model.safetensors"
    sentence = (
        r"^model\.weights: rad-dino is not downloaded automatically; fetch https://huggingface\.co/"
        rf"microsoft/rad-dino/.* \(about 346 MB, licence MIT.*\) and put it at {file}$"
    )
    with pytest.raises(UserError, match=sentence):
        check_published("rad-dino", PUBLISHED["rad-dino"].backbone)


def test_weights_of_another_backbone_and_another_hash_are_refused(checkpoints, monkeypatch):
    with pytest.raises(UserError, match=rf"{XRV} fits densenet121 only, not alexnet; set"):
        check_published(XRV, "alexnet")
    file = checkpoints(XRV)
    file.write_bytes(b"x")
    monkeypatch.setitem(module.PUBLISHED, XRV, replace(PUBLISHED[XRV], sha256="0" * 64))
    with pytest.raises(UserError, match=r"has the SHA-256 2d711642b726…, expected 000000000000…"):
        check_published(XRV, "densenet121")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository whose params name published weights."""

    def write(weights: str, backbone: str) -> None:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["model"]["weights"] = weights
        params["train"] |= {"backbones": [backbone], "overrides": {}}
        Path("params.yaml").write_text(yaml.safe_dump(params))

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return write


def random_file(path: Path, name: str) -> dict[str, torch.Tensor]:
    """Write a state dict with the names and shapes of the published file."""
    generator = torch.Generator().manual_seed(1)
    tensors = {
        key: torch.zeros(shape, dtype=torch.int64)
        if key.endswith("tracked")
        else torch.rand(shape, generator=generator) / max(1, math.prod(shape[1:]))
        for key, shape in SHAPES[name].items()
    }
    torch.save(tensors if name == XRV else {"module": tensors}, path)
    return tensors


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        (XRV, "features.conv0.weight", "1.0.conv0.weight"),
        ("eva-x-tiny", "blocks.7.mlp.w12.weight", "1.network.blocks.7.mlp.fc1.weight"),
    ],
)
def test_training_starts_from_published_weights_and_the_model_says_so(
    name, theirs, ours, project, checkpoints, tmp_path
):
    backbone, file = PUBLISHED[name].backbone, checkpoints(name)
    project(name, backbone)
    tensors = random_file(file, name)
    pretrained.main(backbone)
    facts = published_weights(backbone)
    assert facts == read_json(f"data/pretrained/{backbone}/source.json")["initial_weights"]
    assert facts["sha256"] == sha256(file)
    assert (facts["licence"], facts["nih_test_images"]) == (PUBLISHED[name].licence, "no")
    model, images = read_model(), np.zeros((2, 64, 64), np.uint8)
    network = initial_network(backbone, model, images, read_train().for_backbone(backbone))
    assert torch.equal(network.features.state_dict()[ours], tensors[theirs])
    description = {"backbone": backbone, "input_size": 64, "head": model.head}
    save_model(tmp_path, network.eval(), description | {"initial_weights": facts})
    again, _ = load_model(tmp_path)
    batch = normalise(torch.rand(1, 1, 64, 64))
    with torch.inference_mode():
        assert torch.equal(again(batch), network(batch))


def test_the_tables_say_whether_the_training_has_seen_nihs_test_images():
    facts = {"name": "a", "licence": "MIT", "nih_test_images": "no"}
    assert note_on(facts) == ("initial weights a (MIT); trained on NIH's official test images: no")
    assert saw_test_images(facts) == {"initial_weights_saw_test_images": 0}
    seen = facts | {"nih_test_images": "yes, without labels"}
    assert saw_test_images(seen) == {"initial_weights_saw_test_images": 1}
    assert (note_on(None), saw_test_images(None)) == ("", {})


def test_random_weights_of_a_published_network_take_its_images():
    head = {"transition_channels": 4, "pooling": "avg", "lse_r": 10.0}
    network = build_network("densenet121", **head, seed=1, weights=XRV)
    assert network.weights == XRV
    assert network.features[1][0].conv0.in_channels == 1
