"""The training loop, with a network of one layer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cxr14.training.augment import Augment
from cxr14.training.device import Compute
from cxr14.training.loop import (
    Part,
    Recipe,
    batches,
    load_part,
    steps_per_epoch,
    train,
    validate,
)
from cxr14.training.losses import make_loss

CPU = Compute("cpu", "fp32", channels_last=False)
RECIPE = Recipe(
    input_size=8,
    epochs=8,
    batch_size=8,
    optimizer="adamw",
    learning_rate=0.01,
    weight_decay=0.0,
    schedule="cosine",
    warmup_fraction=0.1,
    augment=Augment(),
    seed=3,
)


def tiny() -> nn.Module:
    """Flattened pixels to fifteen logits, the same start every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 15))


def part(seed: int = 1, count: int = 16) -> Part:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 8, 8), dtype=np.uint8)
    labels = np.float32(rng.random((count, 15)) < 0.5)
    return load_part(images, labels, 8, "cpu")


def fit(network, recipe=RECIPE, val=None, rows=None, on_step=lambda: None):
    own = part()
    loss = make_loss("cross_entropy", "none", own.labels)
    seen = [] if rows is None else rows
    return train(network, own, val or own, loss, recipe, CPU, seen.append, on_step)


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
    val = load_part(large, labels, 16, "cpu")
    scores = {validate(tiny(), val, replace(RECIPE, batch_size=size), CPU) for size in (2, 5, 50)}
    assert len(scores) == 1


def test_an_epoch_shows_every_image_at_most_once_in_whole_batches():
    generator = torch.Generator().manual_seed(1)
    orders = [torch.cat(list(batches(19, 4, generator))).tolist() for _ in range(2)]
    for order in orders:
        assert len(order) == len(set(order)) == 16
    assert orders[0] != orders[1]
    assert steps_per_epoch(3, 4) == 1
    assert [len(rows) for rows in batches(3, 4, generator)] == [3]


def test_a_part_is_shrunk_once_and_stays_uint8():
    images = np.full((3, 16, 16), 200, np.uint8)
    loaded = load_part(images, np.zeros((3, 15), np.float32), 8, "cpu")
    assert loaded.images.dtype == torch.uint8
    assert loaded.images.shape == (3, 8, 8)
    assert loaded.images.unique().tolist() == [200]
    same = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert (load_part(same, np.zeros((1, 15), np.float32), 16, "cpu").images.numpy() == same).all()
