"""Starting weights."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from cxr14.models import pretrained
from cxr14.models.backbones import build_classifier
from cxr14.models.network import build_network
from cxr14.models.pretrained import copy_own, fetch_imagenet, load_imagenet, load_own

DENSENET = "densenet121-a639ec97.pth"


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch):
    """An empty folder of checkpoints in place of the user's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def build(backbone):
    return build_network(backbone, 8, "avg", 10.0, seed=1)


@pytest.mark.parametrize(
    "error", [URLError("no network"), TimeoutError("too slow"), RuntimeError("invalid hash")]
)
def test_a_failed_download_names_the_file_its_place_and_the_way_without(
    tmp_path, checkpoints, error
):
    def fetch(url, path, prefix):
        raise error

    with pytest.raises(ValueError, match=r"cannot be fetched") as caught:
        fetch_imagenet("densenet121", tmp_path / "out" / "weights.pth", fetch)
    sentence = str(caught.value)
    assert DENSENET in sentence
    assert str(checkpoints / DENSENET) in sentence
    assert "model.weights: none" in sentence
    assert "\n" not in sentence
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_of_another_content_is_refused_and_not_kept(tmp_path):
    asked = []

    def fetch(url, path, prefix):
        asked.append((url, prefix))
        Path(path).write_bytes(b"something else")

    with pytest.raises(ValueError, match=rf"{DENSENET}: SHA-256 .* does not start with a639ec97"):
        fetch_imagenet("densenet121", tmp_path / "out" / "weights.pth", fetch)
    assert asked == [(f"https://download.pytorch.org/models/{DENSENET}", "a639ec97")]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_spoilt_copy_in_torchs_own_folder_is_refused(tmp_path, checkpoints):
    checkpoints.mkdir(parents=True)
    (checkpoints / DENSENET).write_bytes(b"half a downl")
    with pytest.raises(ValueError, match="does not start with a639ec97"):
        fetch_imagenet("densenet121", tmp_path / "weights.pth")


def test_the_copy_in_torchs_own_folder_is_used_without_a_download(
    tmp_path, checkpoints, monkeypatch
):
    """No file with a published hash is at hand, so the published name is replaced."""
    content = b"weights"
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    url = f"https://example.org/{name}"
    monkeypatch.setattr(pretrained, "get_weight", lambda _: SimpleNamespace(url=url))
    checkpoints.mkdir(parents=True)
    (checkpoints / name).write_bytes(content)

    def fetch(url, path, prefix):
        raise AssertionError("must not be called")

    assert fetch_imagenet("densenet121", tmp_path / "weights.pth", fetch) == url
    assert (tmp_path / "weights.pth").read_bytes() == content


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


def test_googlenets_auxiliary_classifiers_are_left_out(tmp_path):
    classifier, features = build_classifier("googlenet")
    state = classifier.state_dict() | {"aux1.conv.conv.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "weights.pth")
    network = build("googlenet")
    load_imagenet(network, "googlenet", tmp_path / "weights.pth")
    loaded = network.features.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in features.state_dict().items())


def test_a_file_of_another_network_is_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth does not fit googlenet"):
        load_imagenet(build("googlenet"), "googlenet", tmp_path / "weights.pth")


def test_own_weights_are_copied_and_loaded_with_the_head(tmp_path):
    source = build("googlenet")
    with torch.no_grad():
        source.head.prediction.bias.add_(1)
    save_file(source.state_dict(), tmp_path / "mine.safetensors")
    found = copy_own(tmp_path / "mine.safetensors", tmp_path / "out" / "weights.safetensors")
    content = (tmp_path / "mine.safetensors").read_bytes()
    assert found == hashlib.sha256(content).hexdigest()
    network = build("googlenet")
    load_own(network, tmp_path / "out" / "weights.safetensors")
    loaded = network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in source.state_dict().items())


@pytest.mark.parametrize("name", ["none.safetensors", "mine.pth"])
def test_own_weights_that_are_no_safetensors_file_are_refused(tmp_path, name):
    (tmp_path / "mine.pth").write_bytes(b"x")
    with pytest.raises(
        ValueError, match=r"model\.weights: .* allowed: none, imagenet, or the path"
    ):
        copy_own(tmp_path / name, tmp_path / "weights.safetensors")


def test_own_weights_that_do_not_fit_name_the_first_mismatch(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"model\.weights: .* does not fit: .*Missing key"):
        load_own(build("googlenet"), tmp_path / "a.safetensors")


def test_own_weights_that_break_off_are_refused(tmp_path):
    """It used to end in a traceback."""
    (tmp_path / "a.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(ValueError, match=r"model\.weights: .*a\.safetensors does not fit"):
        load_own(build("googlenet"), tmp_path / "a.safetensors")
