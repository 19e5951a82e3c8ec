"""The blocks of params.yaml, and the repository's own file."""

import copy
from typing import Any

import pytest
import yaml

from cxr14.params import data, evaluate, localize, loss, model, preprocess, split, train
from cxr14.params._read import ParamsError, check_block
from cxr14.params.train import TrainParams
from tests.conftest import ROOT

MODULES = [data, evaluate, localize, loss, model, preprocess, split, train]
OWN: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def recipe(**changes: Any) -> TrainParams:
    return check_block("train", TrainParams, copy.deepcopy(OWN["train"]) | changes, "params.yaml")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_own_file_is_valid(module, monkeypatch):
    monkeypatch.chdir(ROOT)
    name = module.__name__.rsplit(".", 1)[-1]
    assert module.read().model_dump() == OWN[name]


def test_every_block_of_the_own_file_has_a_module():
    assert set(OWN) == {module.__name__.rsplit(".", 1)[-1] for module in MODULES}


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
    assert resnet.overrides == {}


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
        ({"augment": None}, r"overrides\.alexnet\)\.augment = None"),
        ({"backbones": ["vgg16"]}, r"overrides\.alexnet\)\.backbones: cannot be overridden"),
        ({"overrides": {}}, r"overrides\.alexnet\)\.overrides: cannot be overridden"),
    ],
)
def test_an_unsuitable_override_is_refused_by_its_full_name(override, told):
    with pytest.raises(ParamsError, match=told):
        recipe(overrides={"alexnet": override}).for_backbone("alexnet")


@pytest.mark.parametrize(
    ("module", "change"),
    [
        (data, {"source": "web"}),
        (data, {"phantom": {"images": 0, "contrast": 1, "seed": 1}}),
        (split, {"official": "maybe"}),
        (split, {"test_fraction": 1.0}),
        (preprocess, {"size": 2048}),
        (model, {"pooling": "mean"}),
        (model, {"lse_r": 0}),
        (loss, {"name": "dice"}),
        (loss, {"smoothing": 1.0}),
        (train, {"batch_size": 1}),
        (train, {"backbones": []}),
        (train, {"device": "tpu"}),
        (evaluate, {"batch_size": 0}),
        (localize, {"method": "scorecam"}),
        (localize, {"scaling": "global"}),
        (localize, {"heat_thresholds": [255]}),
        (localize, {"t_iobb": []}),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_key(module, change):
    name = module.__name__.rsplit(".", 1)[-1]
    block = getattr(module, f"{name.capitalize()}Params")
    with pytest.raises(ParamsError, match=rf"{name}\.{next(iter(change))}"):
        check_block(name, block, OWN[name] | change, "params.yaml")
