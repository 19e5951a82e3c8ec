"""The training loop, with a small network."""

import pytest
import torch
from torch import nn

from cxr14.training.dataset import SplitData, steps_per_epoch
from cxr14.training.distributed import Processes
from cxr14.training.engine import NotFiniteError
from cxr14.training.validation import validate
from tests.training.tiny import (
    CHANGES,
    CPU,
    RECIPE,
    Tiny,
    fit,
    make_loop,
    make_session,
    part,
    replace,
    tiny,
)


def score(network, own):
    loop = make_loop(train=own)
    return validate(network, own, loop.loss, 8, 8, CPU, Processes()).macro_auroc


def test_sixteen_images_are_learned_by_heart():
    trained = fit(tiny(), replace(RECIPE, epochs=60, learning_rate=0.03))
    losses = [row["loss"] for row in trained.history]
    assert losses[-1] < 0.5 * losses[0]
    assert trained.best_score > 0.99


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(ema):
    recipe = replace(RECIPE, augment=CHANGES, ema=ema)
    first, second = fit(tiny(), recipe), fit(tiny(), recipe)
    assert first.history == second.history
    states = (first.best_state, second.best_state)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    other = fit(tiny(), replace(recipe, seed=4))
    assert not torch.equal(first.best_state["head.1.weight"], other.best_state["head.1.weight"])


def test_training_leaves_the_random_state_of_its_caller_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit(tiny())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_epoch_is_kept_and_not_the_last():
    """On validation the labels are turned round: the more is learned, the worse the score."""
    own = part()
    turned = SplitData(own.images, 1 - own.labels)
    network = tiny()
    trained = fit(network, val=turned)
    scores = [row["validation_macro_auroc"] for row in trained.history]
    assert trained.best_score == max(scores) > scores[-1]
    assert scores[trained.best_epoch - 1] == trained.best_score
    assert score(network, turned) == scores[-1]
    network.load_state_dict(trained.best_state)
    assert score(network, turned) == trained.best_score


def test_of_equally_good_epochs_the_first_is_kept():
    trained = fit(tiny(), replace(RECIPE, learning_rate=1e-30, ema=0.999999))
    assert trained.best_epoch == 1


def test_callbacks_are_called_for_every_epoch_and_step():
    rows, steps = [], []
    trained = fit(tiny(), on_epoch=rows.append, on_step=lambda: steps.append(1))
    assert rows == trained.history
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert set(rows[0]) == {
        "epoch", "loss", "learning_rate", "validation_loss", "validation_macro_auroc",
    }  # fmt: skip
    assert len(steps) == 8 * steps_per_epoch(16, 8) == 16
    rates = [row["learning_rate"] for row in rows]
    assert rates[0] == pytest.approx(0.01 / 2)  # two steps of warm-up
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_averaged_weights_are_those_of_the_formula_and_are_what_is_kept():
    """After the first step the average is the weights; later .75 of it and .25 of the weights."""
    recipe = replace(RECIPE, ema=0.75, epochs=1)
    loop, network = make_loop(train=part(count=24)), tiny()
    session, seen = make_session(network, recipe, 24), []
    loop.on_step = lambda: seen.append(network.head[1].weight.detach().clone())
    trained = loop.run(session)
    assert len(seen) == 3
    expected = 0.75 * (0.75 * seen[0] + 0.25 * seen[1]) + 0.25 * seen[2]
    assert torch.allclose(trained.best_state["head.1.weight"], expected, atol=1e-6)
    assert torch.equal(network.head[1].weight, seen[2])


def test_a_plateau_goes_by_the_validation_loss():
    """On turned labels the validation loss is never as low again: a tenth after two epochs without a gain."""
    own = part()
    recipe = replace(RECIPE, schedule="plateau", warmup_fraction=0.0)
    trained = fit(tiny(), recipe, val=SplitData(own.images, 1 - own.labels))
    rates = [row["learning_rate"] for row in trained.history]
    losses = [row["validation_loss"] for row in trained.history]
    assert losses[0] == min(losses)
    assert rates == pytest.approx([0.01] * 3 + [0.001] * 2 + [0.0001] * 2 + [0.00001])


def test_a_compiled_network_learns_the_same(monkeypatch):
    """Traced, not translated: the compiler's own back end takes a minute."""
    monkeypatch.setattr(Tiny, "compile", lambda self: nn.Module.compile(self, backend="eager"))
    plain = fit(tiny(), replace(RECIPE, epochs=2))
    compiled = fit(tiny(), replace(RECIPE, epochs=2, compile=True))
    assert [row["loss"] for row in compiled.history] == pytest.approx(
        [row["loss"] for row in plain.history],
        rel=0.05,  # dropout is drawn otherwise
    )
    assert set(compiled.best_state) == set(plain.best_state)


def test_a_loss_that_is_not_finite_stops_with_its_step():
    recipe = replace(RECIPE, optimizer="sgd", learning_rate=1e38)
    with pytest.raises(NotFiniteError, match=r"^the loss is (nan|inf) in step 2$") as caught:
        fit(tiny(), recipe)
    assert len(caught.value.indices) == 8


class Spoilt(Tiny):
    """Gives NaN when evaluated, as an overflow in the running statistics can."""

    def forward(self, images):
        logits = super().forward(images)
        return logits if self.training else logits * float("nan")


def test_scores_that_are_no_numbers_stop_with_one_sentence():
    """Such an epoch used to be kept as the best, and model.json could not be written."""
    with pytest.raises(ValueError, match=r"^the validation scores are not finite; lower train\."):
        fit(Spoilt())


def test_a_validation_part_that_cannot_be_scored_is_refused():
    own = part()
    with pytest.raises(ValueError, match="no finding has both positives and negatives in the val"):
        fit(tiny(), val=SplitData(own.images, torch.ones_like(own.labels)))
