"""Fetching torchvision's weights."""

import hashlib
import re
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torchvision
from torchvision.models import list_models

from cxr14.models import pretrained
from cxr14.models.pretrained import fetch_imagenet

DENSENET = "densenet121-a639ec97.pth"


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch):
    """An empty folder of checkpoints in place of the user's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


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
    kinds = SimpleNamespace(__members__={"IMAGENET1K_V1": SimpleNamespace(url=url)})
    monkeypatch.setattr(pretrained, "get_model_weights", lambda _: kinds)
    checkpoints.mkdir(parents=True)
    (checkpoints / name).write_bytes(content)

    def fetch(url, path, prefix):
        raise AssertionError("must not be called")

    assert fetch_imagenet("densenet121", tmp_path / "weights.pth", fetch) == url
    assert (tmp_path / "weights.pth").read_bytes() == content


@pytest.mark.parametrize("name", ["regnet_y_128gf", "vit_h_14"])
def test_a_backbone_without_imagenet_weights_is_refused_with_what_there_is(tmp_path, name):
    """What there is was trained on other images, and under another licence."""
    sentence = (
        rf"^model\.weights: .* no IMAGENET1K_V1 weights for {name} \(only IMAGENET1K_SWAG_E2E"
    )
    with pytest.raises(ValueError, match=sentence):
        fetch_imagenet(name, tmp_path / "weights.pth")


def test_every_published_file_is_named_by_the_hash_that_is_checked(tmp_path):
    asked = {}
    for name in list_models(module=torchvision.models):
        if name in ("regnet_y_128gf", "vit_h_14"):
            continue

        def fetch(url, path, prefix, name=name):
            asked[name] = prefix
            raise TimeoutError

        with pytest.raises(ValueError, match="cannot be fetched"):
            fetch_imagenet(name, tmp_path / "weights.pth", fetch)
    assert len(asked) > 70
    assert [
        name for name, digits in asked.items() if not re.fullmatch("[0-9a-f]{8,}", digits)
    ] == []
