"""The blocks of params.yaml, and the repository's own file."""

import copy
from typing import Any, get_type_hints

import pytest
import yaml

from cxr14.config import blocks
from cxr14.config.blocks import TrainParams
from cxr14.config.check import BLOCKS
from cxr14.config.reader import Block, ParamsError, check_block
from tests.conftest import ROOT

OWN: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def recipe(**changes: Any) -> TrainParams:
    return check_block("train", TrainParams, copy.deepcopy(OWN["train"]) | changes, "params.yaml")


@pytest.mark.parametrize("name", BLOCKS)
def test_the_own_file_is_valid(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    value = BLOCKS[name]()
    assert (value.model_dump() if isinstance(value, Block) else value) == OWN[name]


@pytest.mark.parametrize(("value", "quoted"), [("exact", "'exact'"), ("[fast]", "['fast']")])
def test_another_value_of_numerics_is_refused_by_name(tmp_path, monkeypatch, value, quoted):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(f"numerics: {value}\n")
    with pytest.raises(ParamsError) as error:
        blocks.read_numerics()
    assert str(error.value) == f"params.yaml: numerics = {quoted}; allowed: portable, fast"


def test_every_block_of_the_own_file_has_a_reader():
    assert set(OWN) == set(BLOCKS)


def test_every_listed_backbone_has_a_recipe():
    for name in OWN["train"]["backbones"]:
        own = recipe().for_backbone(name).model_dump()
        changed = OWN["train"]["overrides"].get(name) or {}
        assert {key: own[key] for key in changed} == changed


def test_an_override_is_applied_to_its_backbone_only():
    overrides = {"resnet50": {"epochs": 2, "augment": {"flip": 0.5}}}
    changed = recipe(overrides=overrides)
    resnet, alexnet = (changed.for_backbone(name) for name in ("resnet50", "alexnet"))
    assert (resnet.epochs, alexnet.epochs) == (2, OWN["train"]["epochs"])
    assert (resnet.augment.flip, alexnet.augment.flip) == (0.5, 0.0)
    assert resnet.augment.rotation == OWN["train"]["augment"]["rotation"]


def test_an_empty_override_changes_nothing():
    assert recipe(overrides={"alexnet": None}).for_backbone("alexnet") == recipe(
        overrides={}
    ).for_backbone("alexnet")


def test_a_backbone_that_is_not_listed_is_refused_with_the_list():
    with pytest.raises(ParamsError, match=r"backbone 'vit' is not in train\.backbones: alexnet, "):
        recipe().for_backbone("vit")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ({"epoch": 3}, r"overrides\.alexnet\)\.epoch = 3: unknown key"),
        ({"epochs": 0}, r"overrides\.alexnet\)\.epochs = 0: input should be greater than 0"),
        ({"augment": {"spin": 1}}, r"overrides\.alexnet\)\.augment\.spin = 1: unknown key"),
        ({"augment": {"sed": 1}}, r"augment\.sed = 1: unknown key$"),
        ({"augment": None}, r"overrides\.alexnet\)\.augment = None"),
        ({"backbones": ["vgg16"]}, r"overrides\.alexnet\)\.backbones = \['vgg16'\]: unknown key"),
        ({"overrides": {}}, r"overrides\.alexnet\)\.overrides = \{\}: unknown key"),
    ],
)
def test_an_unsuitable_override_is_refused_by_its_full_name(override, told):
    with pytest.raises(ParamsError, match=told):
        recipe(overrides={"alexnet": override}).for_backbone("alexnet")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("data", {"source": "web"}),
        ("data", {"phantom": {"images": 0, "contrast": 1, "seed": 1}}),
        ("split", {"official": "maybe"}),
        ("split", {"test_fraction": 1.0}),
        ("preprocess", {"size": 2048}),
        ("model", {"pooling": "mean"}),
        ("model", {"lse_r": 0}),
        ("loss", {"name": "dice"}),
        ("loss", {"smoothing": 1.0}),
        ("train", {"batch_size": 1}),
        ("train", {"backbones": []}),
        ("train", {"device": "tpu"}),
        ("evaluate", {"batch_size": 0}),
        ("localize", {"method": "scorecam"}),
        ("localize", {"scaling": "global"}),
        ("localize", {"heat_thresholds": [255]}),
        ("localize", {"t_iobb": []}),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_key(name, change):
    block = get_type_hints(BLOCKS[name])["return"]
    with pytest.raises(ParamsError, match=rf"{name}\.{next(iter(change))}"):
        check_block(name, block, OWN[name] | change, "params.yaml")


@pytest.mark.parametrize("value", ["none", "backbone", 1, 18])
def test_what_may_be_frozen(value):
    assert recipe(freeze=value).freeze == value


@pytest.mark.parametrize("value", ["head", 0, -1, 1.5, True, None, "3"])
def test_other_parts_are_refused_with_those_that_may_be_frozen(value):
    with pytest.raises(ParamsError) as error:
        recipe(freeze=value)
    assert str(error.value) == (
        f"params.yaml: train.freeze = {value!r}: allowed: none, backbone, or a number of layers "
        f"from 1 on"
    )


@pytest.mark.parametrize(("key", "value"), [("accumulate", 0), ("clip_norm", 0), ("clip_norm", -1)])
def test_a_number_of_batches_or_a_norm_that_is_not_positive_is_refused_with_the_limit(key, value):
    limit = {"accumulate": "at least 1 and at most 65536", "clip_norm": "above 0 and at most"}[key]
    with pytest.raises(ParamsError, match=rf"train\.{key} = {value}: .*allowed: {limit}"):
        recipe(**{key: value})
