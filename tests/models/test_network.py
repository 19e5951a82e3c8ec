"""A backbone with the head on it. GoogLeNet stands for all: it is the quickest to build."""

import torch

from cxr14.models.network import build_network


def build(seed: int = 1, pooling: str = "avg"):
    return build_network("googlenet", 8, pooling, 10.0, seed).eval()


def test_the_forward_pass_is_the_score_of_the_maps():
    network, images = build(), torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), network.score(network.maps(images)))


def test_pooling_and_prediction_are_at_hand_for_heatmaps():
    network = build(pooling="lse")
    assert network.pooling == "lse"
    assert network.prediction.weight.shape == (15, 8)


def test_a_seed_gives_the_weights_and_the_global_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = build().state_dict()
    assert torch.equal(torch.rand(1), expected)
    second, other = build().state_dict(), build(seed=2).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.prediction.weight"], other["head.prediction.weight"])


def test_the_classes_change_the_last_layer_and_nothing_before_it():
    whole = build().state_dict()
    three = build_network("googlenet", 8, "avg", 10.0, 1, classes=("Mass", "Nodule", "Hernia"))
    assert three.classes == ("Mass", "Nodule", "Hernia")
    assert three.prediction.weight.shape == (3, 8)
    own = three.state_dict()
    differ = {name for name in whole if not torch.equal(whole[name], own[name])}
    assert differ == {"head.prediction.weight", "head.prediction.bias"}
