"""A vision transformer as a source of maps."""

import pytest
import torch
from torch import Tensor
from torchvision.models import VisionTransformer
from torchvision.models.vision_transformer import interpolate_embeddings

from cxr14.models.maps import TokenMaps


def small(image_size: int = 32) -> VisionTransformer:
    """A transformer of two layers with patches of 8 px."""
    torch.manual_seed(1)
    return VisionTransformer(image_size, 8, 2, 2, 16, 32).eval()


def tokens(transformer: VisionTransformer, images: Tensor) -> Tensor:
    """What torchvision's own forward computes before its head, without the class token."""
    patches = transformer._process_input(images)
    first = transformer.class_token.expand(len(images), -1, -1)
    return transformer.encoder(torch.cat([first, patches], dim=1))[:, 1:]


def test_each_token_of_torchvisions_is_a_pixel_of_the_maps():
    transformer, images = small(), torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        maps = TokenMaps(transformer).eval()(images)
        expected = tokens(transformer, images)
    assert maps.shape == (2, 16, 4, 4)
    assert torch.equal(maps[:, :, 1, 2], expected[:, 4 * 1 + 2])
    assert torch.equal(maps.flatten(2).transpose(1, 2), expected)


def test_at_another_size_the_positions_are_interpolated_as_torchvision_does_it():
    transformer, images = small(), torch.rand(2, 3, 48, 48)
    larger = small(48)
    larger.load_state_dict(interpolate_embeddings(48, 8, transformer.state_dict()))
    with torch.inference_mode():
        maps = TokenMaps(transformer).eval()(images)
        assert torch.allclose(maps.flatten(2).transpose(1, 2), tokens(larger, images), atol=1e-6)


@pytest.mark.parametrize(("size", "grid"), [(8, 1), (20, 2), (40, 5)])
def test_what_is_left_of_a_patch_at_the_border_is_left_out(size, grid):
    with torch.inference_mode():
        assert TokenMaps(small())(torch.rand(1, 3, size, size)).shape == (1, 16, grid, grid)
