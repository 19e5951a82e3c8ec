"""Which experiments there are, and their names."""

from pathlib import Path

import pytest

from ablation.plan import ARMS, REFERENCE, plan
from cxr14.config.blocks import TrainParams
from cxr14.config.reader import read_block

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def params():
    return read_block("train", TrainParams, ROOT / "params.yaml")


def test_every_arm_has_every_seed_once_and_nothing_is_trained_twice(params):
    experiments = plan(params, ["alexnet", "googlenet"], [14, 15, 16], quick=False)
    assert len(experiments) == 15
    assert len({one.name for one in experiments}) == 15
    assert len({one.settings for one in experiments}) == 15
    assert [one.seed for one in experiments if one.arm == REFERENCE] == [14, 15, 16]
    assert {one.arm for one in experiments} == set(ARMS)


def test_names_and_settings_say_what_is_run_and_stay_the_same(params):
    one = plan(params, ["alexnet", "googlenet"], [14], quick=False)[1]
    assert one == plan(params, ["alexnet", "googlenet"], [14], quick=False)[1]
    assert one.name == "ablation-alexnet-googlenet-none-avg-14"
    assert one.settings == (
        "loss.weighting=none",
        "model.pooling=avg",
        "train.seed=14",
        "train.backbones=[alexnet,googlenet]",
    )


def test_a_quick_run_has_a_third_of_each_backbones_own_epochs_and_its_own_name(params):
    overrides = {"alexnet": {"epochs": 14}, "vgg16": {"epochs": 1}, "resnet50": None}
    params = params.model_copy(update={"epochs": 8, "overrides": overrides})
    one = plan(params, ["alexnet", "vgg16", "resnet50"], [1], quick=True)[0]
    assert one.name == "ablation-alexnet-vgg16-resnet50-quick-batch-avg-1"
    assert one.settings[-3:] == (
        "++train.overrides.alexnet.epochs=5",
        "++train.overrides.vgg16.epochs=1",
        "++train.overrides.resnet50.epochs=3",
    )


@pytest.mark.parametrize(
    ("backbones", "seeds", "told"),
    [
        (["alexnet", "alexnet"], [1], "--backbones is 'alexnet,alexnet'; name each once"),
        (["alexnet"], [1, 2, 1], "--seeds is '1,2,1'; name each once"),
        (["vgg16"], [1], r"train\.overrides\.vgg16\.seed fixes what the ablation varies"),
    ],
)
def test_what_cannot_be_compared_is_refused(params, backbones, seeds, told):
    params = params.model_copy(update={"overrides": {"vgg16": {"seed": 3}}})
    with pytest.raises(ValueError, match=told):
        plan(params, backbones, seeds, quick=False)
