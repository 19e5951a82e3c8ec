"""The recipes of recipes/ are those of the papers, and can be trained."""

from pathlib import Path

import numpy as np
import pytest

from cxr14.config.blocks import read_findings, read_loss, read_model, read_split, read_train
from cxr14.config.check import BLOCKS
from cxr14.config.overlays import PARAMS, plan_params
from cxr14.labels import CHESTXRAY8, CLASSES
from cxr14.training.losses import make_loss
from tests.conftest import ROOT
from tests.training.tiny import fit, part, replace, tiny

RECIPES = ("smoke", "course", "wang2017", "chexnet", "chexnext", "ours")


@pytest.fixture
def params(request, tmp_path, monkeypatch):
    """The blocks of params.yaml under a recipe, in a folder of their own."""
    monkeypatch.chdir(ROOT)
    _, after = plan_params([request.param], [])[PARAMS]
    monkeypatch.chdir(tmp_path)
    Path(PARAMS).write_text(after)
    for read in BLOCKS.values():
        read()
    return request.param


@pytest.mark.parametrize("params", RECIPES, indirect=True)
def test_a_recipe_is_accepted_and_takes_steps(params):
    """At the size of a toy; the numbers that make it the recipe are its own."""
    own = read_train()
    assert all(not keys for keys in own.overrides.values())
    for backbone in own.backbones:
        full = own.for_backbone(backbone)
        assert full.input_size in (112, 224, 320)
        recipe = replace(full, input_size=8, batch_size=8, epochs=2)
        trained = fit(tiny(), recipe)
        assert len(trained.history) == 2
    objective = make_loss(read_loss(), part().labels)
    assert np.isfinite(float(objective(part().labels * 4 - 2, part().labels)))


@pytest.mark.parametrize("params", ["wang2017"], indirect=True)
def test_wangs_is_sgd_with_eighty_images_on_eight_findings(params):
    recipe = read_train().for_backbone("resnet50")
    assert (recipe.optimizer, recipe.batch_size) == ("sgd", 80)
    assert read_findings() == CHESTXRAY8
    assert (read_model().pooling, read_model().lse_r) == ("lse", 10)
    shares = read_split()
    kept = 1 - shares.test_fraction
    assert shares.official is False
    assert kept * shares.val_fraction == pytest.approx(0.1)
    assert kept * (1 - shares.val_fraction) == pytest.approx(0.7)


@pytest.mark.parametrize("params", ["chexnet"], indirect=True)
def test_chexnets_is_adam_on_a_plateau_without_weights(params):
    recipe = read_train().for_backbone("densenet121")
    found = (recipe.optimizer, recipe.learning_rate, recipe.schedule, recipe.batch_size)
    assert found == ("adam", 0.001, "plateau", 16)
    assert read_loss().weighting == "none"
    assert read_findings() == CLASSES
