"""Starting weights from a file into a network."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from cxr14.errors import UserError
from cxr14.models.backbones import build_classifier
from cxr14.models.network import build_network
from cxr14.models.pretrained import copy_project_weights, load_imagenet, load_project_weights


def build(backbone, **more):
    return build_network(backbone, 8, "avg", 10.0, seed=1, **more)


def old_names(state):
    """DenseNet's names as the published file has them: norm.1 for norm1."""
    return {
        name.replace("norm1", "norm.1")
        .replace("norm2", "norm.2")
        .replace("conv1", "conv.1")
        .replace("conv2", "conv.2")
        if "denselayer" in name
        else name: value
        for name, value in state.items()
    }


def test_densenets_old_names_are_understood(tmp_path):
    classifier, features = build_classifier("densenet121")
    state = old_names(classifier.state_dict())
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, tmp_path / "weights.pth")
    network = build("densenet121")
    before = network.head.prediction.weight.clone()
    load_imagenet(network, "densenet121", tmp_path / "weights.pth")
    loaded = network.features.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in features.state_dict().items())
    assert torch.equal(network.head.prediction.weight, before)


@pytest.mark.parametrize(
    ("name", "auxiliary"),
    [("googlenet", "aux1.conv.conv.weight"), ("inception_v3", "AuxLogits.fc.bias")],
)
def test_auxiliary_classifiers_are_left_out(tmp_path, name, auxiliary):
    classifier, features = build_classifier(name)
    torch.save(classifier.state_dict() | {auxiliary: torch.zeros(1)}, tmp_path / "weights.pth")
    network = build(name)
    load_imagenet(network, name, tmp_path / "weights.pth")
    loaded = network.features.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in features.state_dict().items())


@pytest.mark.parametrize(
    ("name", "stride"), [("mnasnet0_5", 16), ("resnet18", 16), ("shufflenet_v2_x0_5", 32)]
)
def test_a_file_of_any_backbone_is_loaded_at_either_stride(tmp_path, name, stride):
    """MNASNet refuses a file that has lost the version that torch saves beside the tensors."""
    theirs = get_model(name, weights=None)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    network = build(name, output_stride=stride)
    load_imagenet(network, name, tmp_path / "weights.pth")
    first, expected = next(network.features.parameters()), next(theirs.parameters())
    assert torch.equal(first, expected)


def test_a_file_of_another_network_is_refused_with_the_first_tensor_that_does_not_fit(tmp_path):
    torch.save({"conv1.conv.weight": torch.zeros(3, 3)}, tmp_path / "weights.pth")
    sentence = (
        r"weights\.pth does not fit googlenet: conv1\.conv\.weight has the shape \(3, 3\), exp"
    )
    with pytest.raises(ValueError, match=sentence + r"ected \(64, 3, 7, 7\)$"):
        load_imagenet(build("googlenet"), "googlenet", tmp_path / "weights.pth")


def test_a_file_with_a_tensor_too_many_is_refused(tmp_path):
    network = build("googlenet")
    more = network.state_dict() | {"more": torch.zeros(2)}
    save_file(more, tmp_path / "a.safetensors")
    with pytest.raises(
        ValueError, match=r"does not fit googlenet: more of shape \(2,\) is not expe"
    ):
        load_project_weights(network, tmp_path / "a.safetensors", "mine.safetensors")


class Command:
    """What an unpickled file could do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_that_holds_code_is_refused_and_nothing_of_it_runs(tmp_path):
    torch.save({"weight": Command(tmp_path / "ran")}, tmp_path / "weights.pth")
    with pytest.raises(
        ValueError, match=r"weights\.pth holds more than tensors, and is not opened"
    ):
        load_imagenet(build("googlenet"), "googlenet", tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()


def test_own_weights_are_copied_and_loaded_with_the_head(tmp_path):
    source = build("googlenet")
    with torch.no_grad():
        source.head.prediction.bias.add_(1)
    save_file(source.state_dict(), tmp_path / "mine.safetensors")
    found = copy_project_weights(
        tmp_path / "mine.safetensors", tmp_path / "out" / "weights.safetensors"
    )
    content = (tmp_path / "mine.safetensors").read_bytes()
    assert found == hashlib.sha256(content).hexdigest()
    network = build("googlenet")
    load_project_weights(network, tmp_path / "out" / "weights.safetensors", "mine.safetensors")
    loaded = network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in source.state_dict().items())


@pytest.mark.parametrize("name", ["none.safetensors", "mine.bin"])
def test_own_weights_that_are_no_safetensors_file_are_refused(tmp_path, name):
    (tmp_path / "mine.bin").write_bytes(b"x")
    with pytest.raises(
        ValueError, match=r"model\.weights: .* allowed: none, imagenet, or the path"
    ):
        copy_project_weights(tmp_path / name, tmp_path / "weights.safetensors")


def test_own_weights_of_another_network_name_the_first_tensor_that_is_missing(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    sentence = r"model\.weights: mine\.safetensors does not fit googlenet: features\.1\.conv1\.conv\.weight is missing"
    with pytest.raises(ValueError, match=sentence):
        load_project_weights(build("googlenet"), tmp_path / "a.safetensors", "mine.safetensors")


def test_own_weights_that_break_off_are_refused(tmp_path):
    """It used to end in a traceback."""
    (tmp_path / "a.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(UserError, match=r"a\.safetensors is no safetensors file"):
        load_project_weights(build("googlenet"), tmp_path / "a.safetensors", "mine.safetensors")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda weight: weight.to(torch.int8), "is torch.int8, expected torch.float32"),
        (lambda weight: weight * torch.nan, "holds numbers that are not finite"),
    ],
)
def test_own_weights_that_are_no_finite_floats_are_refused(tmp_path, change, sentence):
    """Integers became floats, and a NaN every probability's."""
    network = build("googlenet")
    tensors = network.state_dict()
    name = "head.prediction.weight"
    save_file(tensors | {name: change(tensors[name])}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=f"^model.weights: mine.safetensors: {name} {sentence}"):
        load_project_weights(network, tmp_path / "a.safetensors", "mine.safetensors")
