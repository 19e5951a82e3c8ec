"""From cached grey images to what a backbone takes."""

import pytest
import torch

from cxr14.models.inference import MEAN, STD, normalise, prepare, resize

IMAGES = torch.randint(0, 256, (2, 32, 32), generator=torch.Generator().manual_seed(1)).byte()


def test_an_image_of_the_right_size_is_only_scaled():
    assert torch.equal(resize(IMAGES, 32)[:, 0], IMAGES / 255)


def test_the_input_is_not_changed():
    """Float images used to be divided in place."""
    for images in (IMAGES.clone(), IMAGES.float()):
        before = images.clone()
        prepare(images, 32)
        prepare(images, 16)
        assert torch.equal(images, before)


def test_shrinking_averages_instead_of_picking_pixels():
    """Without antialiasing, every fourth column is overlooked when four become one."""
    stripes = torch.zeros(1, 64, 64, dtype=torch.uint8)
    stripes[:, :, ::4] = 255
    inner = resize(stripes, 16)[..., 2:-2, 2:-2]
    assert torch.allclose(inner, torch.full_like(inner, 0.25), atol=0.01)


def test_a_shrunk_image_keeps_its_range_and_mean():
    shrunk = resize(IMAGES, 20)
    assert shrunk.shape == (2, 1, 20, 20)
    assert shrunk.dtype == torch.float32
    assert 0 <= float(shrunk.min()) < float(shrunk.max()) <= 1
    assert float(shrunk.mean()) == pytest.approx(float(IMAGES.float().mean()) / 255, abs=0.01)


def test_black_and_white_are_normalised_by_the_statistics_of_imagenet():
    ends = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    normal = normalise(ends)
    assert normal.shape == (2, 3, 1, 1)
    for channel in range(3):
        assert normal[:, channel].flatten().tolist() == pytest.approx(
            [-MEAN[channel] / STD[channel], (1 - MEAN[channel]) / STD[channel]]
        )


def test_preparing_is_resizing_and_normalising():
    assert torch.equal(prepare(IMAGES, 24), normalise(resize(IMAGES, 24)))
    assert prepare(IMAGES, 24).shape == (2, 3, 24, 24)


def test_float_images_are_not_changed_in_place():
    images = IMAGES.float()
    prepare(images, 32)
    assert torch.equal(images, IMAGES.float())
