"""A model on disk."""

import shutil

import pytest
import torch

from cxr14.errors import UserError
from cxr14.io import read_json, sha256, write_json
from cxr14.labels import CLASSES
from cxr14.models.network import build_network
from cxr14.models.serialization import DESCRIPTION, WEIGHTS, load_model, save_model

HEAD = {"transition_channels": 8, "pooling": "lse", "lse_r": 5.0, "output_stride": 16}
FACTS = {"backbone": "googlenet", "input_size": 64, "head": HEAD, "phantom": True}


@pytest.fixture(scope="module")
def network():
    return build_network("googlenet", **HEAD, seed=1)


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "googlenet"
    save_model(folder, network, FACTS)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the saved model that a test may spoil."""
    return shutil.copytree(saved, tmp_path / "googlenet")


def rewrite(folder, **changes):
    write_json(folder / DESCRIPTION, read_json(folder / DESCRIPTION) | changes)


def test_a_saved_model_comes_back_with_the_same_weights_and_facts(saved, network):
    loaded, description = load_model(saved)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(images), network.eval()(images))
    assert not loaded.training
    assert (loaded.pooling, loaded.head.lse_r) == ("lse", 5.0)
    assert loaded.maps(images).shape[-1] == 4  # of 64 px, at stride 16
    assert {name: description[name] for name in FACTS} == FACTS
    assert description["classes"] == list(CLASSES)
    assert description["weights_sha256"] == sha256(saved / WEIGHTS)
    assert list(description) == sorted(description)


def test_saving_twice_gives_the_same_bytes(saved, network, tmp_path):
    save_model(tmp_path, network, FACTS)
    for name in (WEIGHTS, DESCRIPTION):
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes()


def test_loading_leaves_the_global_random_state_alone(saved):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_model(saved)
    assert torch.equal(torch.rand(1), expected)


def test_an_unknown_backbone_names_the_file_that_names_it(folder):
    rewrite(folder, backbone="resnet19")
    with pytest.raises(UserError, match=r"model\.json: backbone: unknown backbone 'resnet19'"):
        load_model(folder)


def test_another_architecture_names_the_mismatch(folder):
    rewrite(folder, backbone="resnet18", head=HEAD | {"output_stride": 32})
    with pytest.raises(
        ValueError, match=r"weights\.safetensors does not fit resnet18: head\.trans"
    ):
        load_model(folder)


def test_another_head_names_the_tensor_its_shape_and_what_was_expected(folder):
    rewrite(folder, head=HEAD | {"transition_channels": 9})
    with pytest.raises(
        ValueError, match=r"does not fit googlenet: head\.transition\.0\.weight "
    ) as e:
        load_model(folder)
    assert str(e.value).endswith("has the shape (8, 1024, 1, 1), expected (9, 1024, 1, 1)")


def test_weights_that_are_not_the_described_ones_are_refused(folder):
    """Weights of the same shape from another run used to load without a word."""
    rewrite(folder, weights_sha256="0" * 64)
    with pytest.raises(ValueError, match=r"weights\.safetensors is not the file .*model\.json"):
        load_model(folder)


def test_a_missing_model_says_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"model\.json is missing; .*`dvc repro train@alexnet`"):
        load_model("models/alexnet")


def test_a_model_without_its_weights_says_what_makes_them(folder):
    """It used to end in a traceback."""
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors is missing"):
        load_model(folder)


def test_a_model_of_fewer_classes_comes_back_with_its_own(tmp_path):
    network = build_network("googlenet", **HEAD, seed=1, classes=("Mass", "Hernia"))
    save_model(tmp_path, network, FACTS)
    loaded, description = load_model(tmp_path)
    assert description["classes"] == ["Mass", "Hernia"]
    assert loaded.classes == ("Mass", "Hernia")
    assert torch.equal(loaded.prediction.weight, network.prediction.weight)
