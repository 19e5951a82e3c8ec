"""The recipes of docs/howto/recipes.md are commands that work."""

import shlex
import shutil
from itertools import pairwise

import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides

from cxr14.config.blocks import read_findings, read_loss, read_model, read_split, read_train
from cxr14.config.check import BLOCKS
from cxr14.labels import CHESTXRAY8, CLASSES
from cxr14.training.losses import make_loss
from tests.conftest import ROOT
from tests.training.tiny import fit, part, replace, tiny


def commands() -> dict[str, list[str]]:
    """The `-S` values of every `dvc exp run` of the page, by the name of the experiment."""
    text = (ROOT / "docs/howto/recipes.md").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.startswith("    dvc exp run --temp -n "):
            words = shlex.split(line)
            found[words[5]] = [word for before, word in pairwise(words) if before == "-S"]
    return found


COMMANDS = commands()


@pytest.fixture
def params(request, tmp_path, monkeypatch):
    """The blocks after the overrides of an experiment, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    apply_overrides("params.yaml", COMMANDS[request.param])
    for read in BLOCKS.values():
        read()
    return request.param


def test_every_recipe_of_the_page_is_found():
    assert list(COMMANDS) == ["course", "wang2017", "chexnet", "chexnext-single", "ours"]
    assert all(len(values) > 8 for values in COMMANDS.values())


@pytest.mark.parametrize("params", COMMANDS, indirect=True)
def test_a_recipe_is_accepted_and_takes_steps(params):
    """At the size of a toy; the numbers that make it the recipe are its own."""
    own = read_train()
    assert set(own.overrides) >= set(own.backbones)
    for backbone in own.backbones:
        full = own.for_backbone(backbone)
        assert full.input_size in (224, 320)
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
