"""All blocks checked together, before anything runs."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.numpy import save_file

from cxr14.config.check import check_chexnext, check_params
from cxr14.errors import UserError
from tests.conftest import ROOT

OWN = yaml.safe_load((ROOT / "params.yaml").read_text())
CHEXNEXT = yaml.safe_load((ROOT / "chexnext/params.yaml").read_text())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / "chexnext").mkdir()
    write()
    return tmp_path


STILL = {"flip": 0.0, "rotation": 0.0, "scale": 0.0, "shift": 0.0, "brightness": 0.1}


def write(chexnext: dict[str, Any] | None = None, **changes: Any) -> None:
    """Write both files as they are in the repository, with keys of some blocks changed."""
    for path, content, changed in (
        ("params.yaml", OWN, changes),
        ("chexnext/params.yaml", CHEXNEXT, chexnext or {}),
    ):
        content = copy.deepcopy(content)
        for block, values in changed.items():
            content[block] = content.get(block, {}) | values
        Path(path).write_text(yaml.safe_dump(content))


def refusal() -> str:
    with pytest.raises(UserError) as caught:
        check_params()
    return str(caught.value)


def test_the_own_files_are_valid_with_and_without_the_second_pipeline():
    check_params()
    check_chexnext()
    Path("chexnext/params.yaml").unlink()
    check_params()
    with pytest.raises(UserError, match=r"^chexnext/params\.yaml does not exist"):
        check_chexnext()


def test_as_many_layers_as_a_backbone_has_may_be_frozen_and_views_need_one_change():
    augment = STILL | {"flip": 0.5}
    changes = {"backbones": ["alexnet"], "freeze": 5, "augment": augment}
    write(train=changes, evaluate={"tta": True})
    check_params()


def test_problems_of_all_blocks_of_both_files_are_named_at_once():
    write(
        {"relabel": {"mode": "mix"}, "members": {"seeds": ["0; x"]}},
        localize={"method": "x"},
        train={"epochs": 0},
        splat={"seed": 3},
    )
    sentence = refusal()
    for key in ("localize.method", "train.epochs", "relabel.mode", "members.seeds.0"):
        assert key in sentence
    assert "params.yaml: unknown block 'splat'; allowed: numerics, data, split" in sentence


def test_a_missing_block_is_named():
    Path("params.yaml").write_text(yaml.safe_dump({k: v for k, v in OWN.items() if k != "loss"}))
    assert refusal() == "params.yaml: the block 'loss' is missing"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train": {"backbones": ["resnet19"]}}, "train.backbones: unknown backbone 'resnet19'"),
        (
            {"train": {"overrides": {"alexnett": {}}}},
            "train.overrides: unknown backbone 'alexnett'",
        ),
        (
            {"train": {"overrides": {"alexnet": {"epoch": 3}}}},
            r"train (overrides.alexnet).epoch = 3",
        ),
        (
            {"train": {"overrides": {"vit_b_16": {"epochs": 0}}}},
            "train (overrides.vit_b_16).epochs",
        ),
        ({"train": {"overrides": {"alexnet": {"processes": 3}}}}, "which 3 processes"),
        (
            {"train": {"overrides": {"alexnet": {"input_size": 256}}}},
            "input_size of alexnet is 256",
        ),
        ({"preprocess": {"size": 64}}, "preprocess.size is 64; raise preprocess.size or lower"),
        ({"model": {"weights": "mine.safetensors"}}, "no such file or name; allowed: none, "),
        (
            {"model": {"weights": "rad-dino"}},
            "rad-dino fits timm:vit_base_patch14_dinov2 only, not",
        ),
        ({"model": {"weights": "imagenett"}}, "model.weights = 'imagenett': no such"),
        ({"model": {"weights": "chexnext"}}, "model.weights = 'chexnext': no such"),
        (
            {"model": {"pooling": "max"}, "localize": {"method": "cam", "layer": "last"}},
            "localize.method = cam is exact",
        ),
        ({"localize": {"method": "cam", "layer": 4}}, "here they are avg and 4; set"),
        (
            {"train": {"backbones": ["alexnet"], "freeze": 6}},
            "params.yaml: train.freeze is 6, but alexnet has 5 layers with weights",
        ),
        (
            {"train": {"augment": STILL}, "evaluate": {"tta": True}},
            "evaluate.tta is true, but rotation, scale, shift and flip of train.augment are 0",
        ),
        (
            {
                "model": {"weights": "imagenet"},
                "train": {"backbones": ["vit_h_14"], "overrides": {}},
            },
            "torchvision has no IMAGENET1K_V1 weights for vit_h_14",
        ),
    ],
)
def test_what_would_stop_a_late_stage_is_refused(changes, told):
    write(**changes)
    assert told in refusal()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"members": {"backbones": ["resnet19"]}},
            "members.backbones: unknown backbone 'resnet19'",
        ),
        (
            {"students": {"backbones": ["resnet19"]}},
            "students.backbones: unknown backbone 'resnet19",
        ),
        (
            {"train": {"overrides": {"alexnet": {"epoch": 1}}}},
            "chexnext/params.yaml: train (overrid",
        ),
        (
            {"train": {"overrides": {"alexnett": {}}}},
            "train.overrides: unknown backbone 'alexnett'",
        ),
    ],
)
def test_the_second_file_is_checked_too(changes, told):
    write(changes)
    assert told in refusal()


def test_own_weights_are_found_in_the_repository():
    write(model={"weights": "mine.safetensors"})
    assert "no such file or name" in refusal()
    save_file({}, "mine.safetensors")
    check_params()


def test_what_the_second_pipeline_demands_of_the_first_stops_the_second_alone():
    """Trying another backbone, or smaller images, must not need an edit of the other file."""
    write(train={"backbones": ["resnet50"]}, preprocess={"size": 96})
    check_params()
    with pytest.raises(UserError) as caught:
        check_chexnext()
    assert "members.backbones: alexnet is not in train.backbones of params.yaml" in str(
        caught.value
    )
    assert "train.input_size of alexnet is 112, but preprocess.size is 96" in str(caught.value)
