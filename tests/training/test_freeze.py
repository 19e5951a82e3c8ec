"""Frozen layers."""

import numpy as np
import pytest
import torch
from torch import nn

from cxr14.errors import UserError
from cxr14.models.network import Network, build_network, layers_with_weights
from cxr14.training.dataset import load_split
from cxr14.training.distributed import Processes
from cxr14.training.engine import Session
from cxr14.training.optim import make_optimizer
from cxr14.training.train import count_parameters
from tests.training.tiny import CPU, RECIPE, make_loop, part, replace

PLAN = replace(RECIPE, input_size=32, epochs=2, ema=0.9, weight_decay=0.1)
HEAD = 512 * 4 + 2 * 4 + 4 * 15 + 15
"""Transition, its normalisation, prediction and its bias, of ResNet-18 with four channels."""


def build(freeze) -> Network:
    network = build_network("resnet18", 4, "avg", 10.0, seed=1)
    network.freeze(freeze)
    return network


def images():
    labels = part().labels.numpy()
    pixels = np.random.default_rng(1).integers(0, 256, (16, 32, 32), dtype=np.uint8)
    return load_split(pixels, np.arange(16), labels, 32, "cpu")


def train(network: Network, epochs: int = 2, state=None) -> Session:
    session = Session(network, replace(PLAN, epochs=epochs), CPU, 4)
    if state:
        session.restore(state)
    make_loop(train=images()).run(session)
    return session


def changed(network: Network, before: dict[str, torch.Tensor]) -> set[str]:
    """Names of the layers of the backbone of which a weight or a statistic has changed."""
    names = (n for n, tensor in network.state_dict().items() if not torch.equal(tensor, before[n]))
    return {".".join(name.split(".")[:3]) for name in names if name.startswith("features.")}


@pytest.mark.parametrize("freeze", ["backbone", 4])
def test_frozen_layers_keep_weights_and_statistics_and_all_others_learn(freeze):
    network = build(freeze)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    session = train(network)
    learned = {"features.layer2.1", "features.layer3.0", "features.layer3.1", "features.layer4.0"}
    learned |= {"features.layer2.0", "features.layer4.1"}
    assert changed(network, before) == (set() if freeze == "backbone" else learned)
    assert not torch.equal(network.head.prediction.weight, before["head.prediction.weight"])
    averaged = session.ema.network.state_dict()
    frozen = [name for name in before if name.startswith("features.conv1")]
    assert all(torch.equal(averaged[name], before[name]) for name in frozen)


def test_a_resumed_linear_probe_ends_with_the_same_weights():
    whole = train(build("backbone")).network.state_dict()
    first = train(build("backbone"), epochs=1).state()
    resumed = train(build("backbone"), state=first).network.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_optimizer_has_only_what_is_trained():
    network = build("backbone")
    groups = make_optimizer(network, PLAN).param_groups
    assert sum(p.numel() for group in groups for p in group["params"]) == HEAD
    everything = sum(parameter.numel() for parameter in network.parameters())
    assert count_parameters(network) == (everything, HEAD)
    assert count_parameters(build("none")) == (everything, everything)


def test_layers_are_counted_in_the_order_of_the_forward_pass():
    network = build("none")
    blocks = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
    assert layers_with_weights(network.features) == ["conv1", "bn1", *blocks]
    network.freeze(10)
    assert not any(parameter.requires_grad for parameter in network.features.parameters())
    assert all(parameter.requires_grad for parameter in network.head.parameters())


def test_more_layers_than_there_are_is_an_error_with_the_maximum():
    with pytest.raises(UserError, match=r"^train\.freeze is 11, but resnet18 has 10 layers with w"):
        build(11)


def test_frozen_normalisation_stays_in_evaluation_mode_after_its_conversion():
    """SyncBatchNorm replaces the modules; that of conv1 and bn1 are frozen."""
    network = build(2)
    Processes(0, 2).synchronize_batchnorm(network, "cuda")
    network.train()
    kinds = {name: module for name, module in network.named_modules() if "bn1" in name}
    assert type(kinds["features.bn1"]) is nn.SyncBatchNorm
    modes = {name: module.training for name, module in kinds.items()}
    assert modes.pop("features.bn1") is False
    assert all(modes.values())
    assert network.head.transition[1].training
