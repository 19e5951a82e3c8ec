"""Initial weights of timm's networks."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from cxr14.errors import UserError
from cxr14.models.network import build_network
from cxr14.models.pretrained import (
    copy_project_weights,
    fetch_imagenet,
    load_imagenet,
    load_weights,
    published_url,
)

NAME = "test_efficientnet"


def build():
    return build_network(f"timm:{NAME}", 4, "avg", 10.0, seed=1)


def same(network, theirs) -> bool:
    """Whether each weight of the backbone is that of timm's network, by its name there."""
    ours = next(m for m in network.features.modules() if hasattr(m, "network")).network
    saved = theirs.state_dict()
    return all(torch.equal(tensor, saved[name]) for name, tensor in ours.state_dict().items())


def test_the_imagenet_weights_are_fetched_from_timms_address_and_loaded(tmp_path):
    theirs, asked = timm.create_model(NAME, num_classes=1000), []

    def fetch(url, path, prefix):
        asked.append((url, prefix))
        save_file(theirs.state_dict(), path)

    url = "https://huggingface.co/timm/test_efficientnet.r160_in1k/resolve/main/model.safetensors"
    path = tmp_path / "weights.safetensors"
    assert fetch_imagenet(f"timm:{NAME}", path, fetch) == url
    assert asked == [(url, "")]
    network = build()
    head = network.head.prediction.weight.clone()
    load_imagenet(network, f"timm:{NAME}", path)
    assert same(network, theirs)
    assert torch.equal(network.head.prediction.weight, head)


def test_a_file_of_imagenet_weights_that_is_there_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    there = tmp_path / "torch/hub/checkpoints/test_efficientnet.r160_in1k-model.safetensors"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"weights")
    fetch_imagenet(f"timm:{NAME}", tmp_path / "weights.safetensors", fetch=None)
    assert (tmp_path / "weights.safetensors").read_bytes() == b"weights"


def test_weights_of_other_data_are_not_taken_for_imagenets():
    with pytest.raises(UserError, match=r"no ImageNet weights for timm:.*only lvd142m, trained on"):
        published_url("timm:vit_small_patch14_dinov2")
    with pytest.raises(UserError, match=r"weights for timm:coatnet_0_224 \(none at all\)"):
        published_url("timm:coatnet_0_224")


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_of_ones_own_with_timms_names_fills_the_backbone(tmp_path, suffix, wrapped):
    theirs, file = timm.create_model(NAME, num_classes=7), tmp_path / f"mine.{suffix}"
    state = theirs.state_dict()
    if suffix == "safetensors":
        save_file(state, file)
    else:
        saved = {f"module.{name}": tensor for name, tensor in state.items()} if wrapped else state
        torch.save({"state_dict": saved, "epoch": 3} if wrapped else saved, file)
    copy_project_weights(file, tmp_path / "weights.safetensors")
    network = build()
    load_weights(network, tmp_path / "weights.safetensors", file.name)
    assert same(network, theirs)


def test_a_file_of_another_network_is_refused_by_its_first_tensor(tmp_path):
    save_file({"conv_stem.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    sentence = rf"^model\.weights: a does not fit timm:{NAME}: conv_stem\.weight has the shape \(1,"
    with pytest.raises(UserError, match=sentence):
        load_weights(build(), tmp_path / "a.safetensors", "a")


def test_an_imagenet_file_that_does_not_fit_is_refused(tmp_path):
    save_file({"conv_stem.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=rf"a\.safetensors does not fit timm:{NAME}: "):
        load_imagenet(build(), f"timm:{NAME}", tmp_path / "a.safetensors")
