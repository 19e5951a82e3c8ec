"""The training loop, with a network of one layer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cxr14.training.augment import Augment
from cxr14.training.loop import validate
from cxr14.training.parts import Part, load_part, steps_per_epoch
from tests.training.tiny import CPU, RECIPE, fit, part, tiny


def test_sixteen_images_are_learned_by_heart():
    trained = fit(tiny(), replace(RECIPE, epochs=30))
    losses = [row["loss"] for row in trained.history]
    assert losses[-1] < 0.5 * losses[0]
    assert trained.best_score > 0.99


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    recipe = replace(RECIPE, augment=Augment(flip=0.5, rotation=10, brightness=0.1))
    first, second = fit(tiny(), recipe), fit(tiny(), recipe)
    assert first.history == second.history
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    other = fit(tiny(), replace(recipe, seed=4))
    assert not torch.equal(first.state["1.weight"], other.state["1.weight"])


def test_the_best_epoch_is_kept_and_not_the_last():
    """On validation the labels are turned round: the more is learned, the worse the score."""
    own = part()
    turned = Part(own.images, 1 - own.labels)
    network = tiny()
    trained = fit(network, val=turned)
    scores = [row["validation_macro_auroc"] for row in trained.history]
    assert trained.best_score == max(scores) > scores[-1]
    assert scores[trained.best_epoch - 1] == trained.best_score
    assert validate(network, turned, RECIPE, CPU) == scores[-1]
    network.load_state_dict(trained.state)
    assert validate(network, turned, RECIPE, CPU) == trained.best_score


def test_of_equally_good_epochs_the_first_is_kept():
    trained = fit(tiny(), replace(RECIPE, learning_rate=1e-30))
    assert len({row["validation_macro_auroc"] for row in trained.history}) == 1
    assert trained.best_epoch == 1


def test_every_epoch_and_step_is_told():
    rows, steps = [], []
    trained = fit(tiny(), rows=rows, on_step=lambda: steps.append(1))
    assert rows == trained.history
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert set(rows[0]) == {"epoch", "loss", "learning_rate", "validation_macro_auroc"}
    assert len(steps) == 8 * steps_per_epoch(16, 8) == 16
    rates = [row["learning_rate"] for row in rows]
    assert rates[0] == pytest.approx(0.01 / 2)  # two steps of warm-up
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_a_loss_that_is_not_finite_stops_with_one_sentence():
    recipe = replace(RECIPE, optimizer="sgd", learning_rate=1e38)
    with pytest.raises(ValueError, match=r"^the loss is (nan|inf) in epoch \d+; lower train\.lea"):
        fit(tiny(), recipe)


class Spoilt(nn.Sequential):
    """Gives NaN when evaluated, as an overflow in the running statistics can."""

    def forward(self, images):
        logits = super().forward(images)
        return logits if self.training else logits * float("nan")


def test_scores_that_are_no_numbers_stop_with_one_sentence():
    """Such an epoch used to be kept as the best, and model.json could not be written."""
    with pytest.raises(
        ValueError, match=r"^the validation scores are not finite in epoch 1; lower"
    ):
        fit(Spoilt(*tiny()))


def test_a_validation_part_that_cannot_be_scored_is_refused():
    own = part()
    with pytest.raises(ValueError, match="no finding has both positives and negatives in the val"):
        fit(tiny(), val=Part(own.images, torch.ones_like(own.labels)))


def test_validation_takes_images_of_the_cache_size_and_any_batch():
    large = np.random.default_rng(1).integers(0, 256, (50, 16, 16), dtype=np.uint8)
    labels = np.float32(np.random.default_rng(2).random((50, 15)) < 0.5)
    val = load_part(large, np.arange(50), labels, 16, "cpu")
    scores = {validate(tiny(), val, replace(RECIPE, batch_size=size), CPU) for size in (2, 5, 50)}
    assert len(scores) == 1


def test_the_labels_of_no_finding_choose_no_epoch():
    own, classes = part(), ("Mass", "Nodule", "No Finding")
    labels = own.labels[:, :3]
    turned = labels.clone()
    turned[:, 2] = 1 - labels[:, 2]
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    scores = {
        validate(network, Part(own.images, y, classes), RECIPE, CPU) for y in (labels, turned)
    }
    assert len(scores) == 1
