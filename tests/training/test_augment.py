"""Random changes of training images."""

import math

import pytest
import torch

from cxr14.errors import UserError
from cxr14.models.inference import normalise, prepare
from cxr14.training.augment import (
    DRAWS,
    augment,
    transform_parameters,
    view_inputs,
    views,
    views_of,
)
from tests.training.tiny import UNCHANGED, replace

STRONG = replace(UNCHANGED, flip=0.5, rotation=30, scale=0.3, shift=0.2, brightness=0.5)
GREY = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def change(limits, seed=1, grey=GREY):
    generator = torch.Generator().manual_seed(seed)
    return augment(
        grey, transform_parameters(torch.rand(len(grey), DRAWS, generator=generator), limits)
    )


def test_limits_of_zero_change_nothing():
    assert torch.allclose(change(UNCHANGED), GREY, atol=1e-5)


def test_a_flip_of_one_mirrors_every_image_left_to_right():
    assert torch.allclose(change(replace(UNCHANGED, flip=1.0)), GREY.flip(3), atol=1e-5)


def test_a_flip_of_a_half_mirrors_some_images():
    grey = GREY[:1].expand(64, 1, 16, 16)
    flipped = change(replace(UNCHANGED, flip=0.5), grey=grey)
    mirrored = [torch.allclose(image, GREY[0].flip(2), atol=1e-5) for image in flipped]
    untouched = [torch.allclose(image, GREY[0], atol=1e-5) for image in flipped]
    assert sum(mirrored) + sum(untouched) == 64
    assert 16 < sum(mirrored) < 48  # by chance outside once in 20,000 seeds; this one is fixed


@pytest.mark.parametrize("seed", range(5))
def test_values_stay_between_black_and_white(seed):
    changed = change(STRONG, seed)
    assert changed.shape == GREY.shape
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1


def test_the_same_draws_give_the_same_images_and_others_give_others():
    assert torch.equal(change(STRONG), change(STRONG))
    assert not torch.equal(change(STRONG), change(STRONG, seed=2))


def test_images_of_a_batch_are_changed_apart():
    changed = change(STRONG, grey=GREY[:1].expand(2, 1, 16, 16))
    assert not torch.equal(changed[0], changed[1])


def test_an_image_is_changed_by_its_own_draws_whatever_else_is_in_the_batch():
    draws = torch.rand(6, DRAWS, generator=torch.Generator().manual_seed(1))
    alone = augment(GREY[3:4], transform_parameters(draws[3:4], STRONG))
    assert torch.allclose(augment(GREY, transform_parameters(draws, STRONG))[3:4], alone, atol=1e-6)


def test_the_original_is_left_as_it_is():
    before = GREY.clone()
    change(STRONG)
    assert torch.equal(GREY, before)


def test_a_shift_moves_a_point_by_at_most_its_share_of_the_width():
    point = torch.zeros(32, 1, 40, 40)
    point[:, :, 20, 20] = 1
    moved = change(replace(UNCHANGED, shift=0.1), grey=point)[:, 0]
    x = (moved.sum(1) @ torch.arange(40.0)) / moved.sum((1, 2)) - 20
    assert float(x.abs().max()) <= 4.01
    assert float(x.abs().max()) > 2


def test_a_rotation_turns_about_the_middle_and_fills_with_black():
    white = torch.ones(8, 1, 32, 32)
    turned = change(replace(UNCHANGED, rotation=45), grey=white)[:, 0]
    assert torch.allclose(turned[:, 12:20, 12:20], torch.ones(8, 8, 8), atol=1e-5)
    assert float(turned[:, 0, 0].min()) == 0


def test_scale_is_about_the_middle():
    square = torch.zeros(32, 1, 40, 40)
    square[:, :, 10:30, 10:30] = 1
    areas = change(replace(UNCHANGED, scale=0.2), grey=square).sum((1, 2, 3)) / 400
    assert 0.8**2 - 0.02 <= float(areas.min()) < 0.9
    assert 1.1 < float(areas.max()) <= 1.2**2 + 0.02


def test_brightness_is_one_factor_for_an_image():
    grey = torch.full((16, 1, 4, 4), 0.5)
    changed = change(replace(UNCHANGED, brightness=0.2), grey=grey).flatten(1)
    assert torch.allclose(changed, changed[:, :1].expand_as(changed), atol=1e-6)
    factors = changed[:, 0] / 0.5
    assert 0.8 <= float(factors.min()) < 1 < float(factors.max()) <= 1.2


LIMITS = replace(UNCHANGED, rotation=20, scale=0.2, shift=0.25, brightness=0.5)


def test_the_views_are_half_of_each_limit_to_either_side():
    """Rows are 2 × 3 matrices from output to input coordinates (−1 to 1), and the brightness."""
    cos, sin = math.cos(math.radians(10)), math.sin(math.radians(10))
    expected = [
        [cos, sin, 0, -sin, cos, 0],
        [cos, -sin, 0, sin, cos, 0],
        [1 / 0.9, 0, 0, 0, 1 / 0.9, 0],
        [1 / 1.1, 0, 0, 0, 1 / 1.1, 0],
        [1, 0, -0.25, 0, 1, 0],
        [1, 0, 0.25, 0, 1, 0],
        [1, 0, 0, 0, 1, -0.25],
        [1, 0, 0, 0, 1, 0.25],
    ]
    found = views(LIMITS)
    assert torch.allclose(found, torch.tensor([[*row, 1.0] for row in expected]), atol=1e-6)


@pytest.mark.parametrize("flip", [0.01, 1.0])
def test_an_image_is_mirrored_only_where_training_mirrors_and_only_in_a_view_of_its_own(flip):
    mirrored = views(replace(LIMITS, flip=flip))
    assert torch.equal(mirrored[:-1], views(LIMITS))
    assert torch.allclose(augment(GREY[:1], mirrored[-1:]), GREY[:1].flip(3), atol=1e-5)


@pytest.mark.parametrize(("limit", "count"), [("rotation", 2), ("scale", 2), ("shift", 4)])
def test_a_limit_of_zero_gives_no_view(limit, count):
    assert len(views(replace(UNCHANGED, **{limit: 0.5}))) == count
    assert len(views(UNCHANGED)) == 0


def test_the_inputs_are_the_images_as_without_views_and_then_each_view():
    images = torch.randint(0, 256, (2, 16, 16), dtype=torch.uint8)
    first, *others = view_inputs(images, 8, views(LIMITS))
    assert torch.equal(first, prepare(images, 8))
    assert len(others) == 8
    _, shifted = view_inputs(images, 16, torch.tensor([[1, 0, 0.25, 0, 1, 0, 1.0]]))
    black = normalise(torch.zeros(2, 1, 16, 2))
    assert torch.allclose(shifted, torch.cat([prepare(images, 16)[..., 2:], black], 3), atol=1e-4)


def test_a_network_that_was_trained_without_changes_has_no_views():
    recipe = {"augment": UNCHANGED.model_dump()}
    with pytest.raises(UserError, match=r"^evaluate\.tta is true, but .* 0 for alexnet"):
        views_of({"backbone": "alexnet", "params": {"train": recipe}})
