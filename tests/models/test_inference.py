"""Where and how exactly a trained network answers."""

import pytest
import torch

from cxr14.models.inference import deterministic_inference
from cxr14.models.network import build_network


@pytest.fixture
def network():
    return build_network("alexnet", 8, "avg", 10.0, seed=1)


def test_a_network_answers_where_its_images_have_to_be(network):
    with deterministic_inference(network) as device:
        assert {p.device.type for p in network.parameters()} == {device}
    assert device == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("fails", [False, True])
def test_products_are_exact_in_the_block_and_as_they_were_after_it(network, fails):
    flags = torch.backends.cudnn
    with flags.flags(enabled=True, deterministic=False, allow_tf32=True):
        try:
            with deterministic_inference(network):
                assert (flags.deterministic, flags.allow_tf32) == (True, False)
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            assert fails
        assert (flags.deterministic, flags.allow_tf32) == (False, True)
