"""What is random in training."""

from unittest.mock import patch

import pytest
import torch

from cxr14.training.augment import DRAWS
from cxr14.training.seeding import derived_seed, epoch_randomness, seed_network, step_seeds


def test_an_order_is_a_permutation_and_another_one_in_every_epoch():
    orders = [epoch_randomness(14, epoch, 19, "cpu").order for epoch in range(3)]
    assert all(sorted(order.tolist()) == list(range(19)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 3


def test_the_same_seed_and_epoch_give_the_same_draws_whatever_was_drawn_before():
    first = epoch_randomness(14, 5, 19, "cpu")
    torch.rand(7)
    again = epoch_randomness(14, 5, 19, "cpu")
    assert torch.equal(first.draws, again.draws)
    assert torch.equal(first.order, again.order)
    assert first.draws.shape == (19, DRAWS)


def test_seeds_of_near_numbers_differ_and_order_counts():
    seeds = {derived_seed(a, b, c) for a in range(8) for b in range(8) for c in range(8)}
    assert len(seeds) == 512
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_every_epoch_process_and_step_has_a_seed_of_its_own():
    """The first step of an epoch once had the seed that its order was drawn from."""
    three = range(3)
    steps = [seed for epoch in three for rank in three for seed in step_seeds(14, epoch, rank, 5)]
    orders = [derived_seed(14, epoch) for epoch in three]
    assert len({*steps, *orders}) == 3 * 3 * 5 + 3
    assert all(0 <= seed < 2**63 for seed in steps)


def test_the_seeds_of_a_few_steps_are_the_first_of_many():
    assert step_seeds(14, 2, 1, 100)[:7] == step_seeds(14, 2, 1, 7)


def test_a_network_draws_as_after_torchs_own_seed_and_nothing_is_noted_for_other_devices():
    """torch.manual_seed formats the stack for every kind of accelerator that is not in use."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(17)
        expected = torch.rand(5)
        with patch("traceback.format_stack", side_effect=AssertionError("noted")) as noting:
            seed_network(17, "cpu")
            assert torch.equal(torch.rand(5), expected)
            with pytest.raises(AssertionError, match="noted"):
                torch.manual_seed(17)
        assert noting.called
