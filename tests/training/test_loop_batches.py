"""The training loop and its batches: the same weights, errors that surface, no waiting."""

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cxr14.models.backbones import STUDIED
from cxr14.models.inference import Compute, normalise
from cxr14.models.network import build_network
from cxr14.training.augment import augment, transform_parameters
from cxr14.training.dataset import Resident, Streamed, load_split, shrink
from cxr14.training.engine import LossMeter, Session
from cxr14.training.losses import TERMS
from cxr14.training.seeding import epoch_randomness, step_seeds
from tests.training.tiny import CHANGES, RECIPE, fit, loss_of, make_loop, part, replace, tiny


def plain_states(images, labels, recipe, size) -> list[dict]:
    """Weights after every epoch of a loop without batches ahead, devices or anything else."""
    network = tiny()
    plain = {"lr": recipe.learning_rate, "momentum": 0.9, "fused": True}
    optimizer = torch.optim.SGD(network.parameters(), **plain)
    loss = loss_of("cross_entropy", "batch", labels)
    small, states = shrink(images, size), []
    for epoch in range(recipe.epochs):
        chance = epoch_randomness(recipe.seed, epoch, len(images), "cpu")
        changes = transform_parameters(chance.draws, recipe.augment)
        seeds = step_seeds(recipe.seed, epoch, 0, len(images) // recipe.batch_size)
        for step, seed in enumerate(seeds):
            rows = chance.order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            torch.manual_seed(seed)
            grey = augment(small[rows][:, None].float() / 255, changes[rows])
            value = loss(network(normalise(grey)), labels[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
    return states


@pytest.mark.parametrize("kind", [Resident, Streamed])
def test_weights_are_those_of_a_plain_loop_bit_for_bit(kind, monkeypatch):
    if kind is Streamed:
        monkeypatch.setattr("cxr14.training.dataset.free_bytes", lambda device: 0)
    plan = {"optimizer": "sgd", "schedule": "constant", "warmup_fraction": 0.0}
    recipe = replace(RECIPE, **plan, batch_size=6, epochs=3, augment=CHANGES)
    images = np.random.default_rng(1).integers(0, 256, (33, 16, 16), dtype=np.uint8)
    rows = np.random.default_rng(2).permutation(33)[:22]
    labels = np.float32(np.random.default_rng(3).random((22, 15)) < 0.5)
    own = load_split(images, rows, labels, 8, "cpu")
    assert isinstance(own.images, kind)
    trained = fit(tiny(), recipe, train=own, val=part(), weighting="batch")
    states = plain_states(torch.from_numpy(images[rows]), own.labels, recipe, 8)
    expected = states[trained.best_epoch - 1]
    assert all(torch.equal(trained.best_state[name], expected[name]) for name in expected)


class Gone(np.ndarray):
    """A file that cannot be read."""

    def take(self, *args, **kwargs):
        raise OSError(5, "Input/output error", "images.npy")


def test_a_file_that_cannot_be_read_stops_training_with_its_message(monkeypatch):
    monkeypatch.setattr("cxr14.training.dataset.free_bytes", lambda device: 0)
    broken = np.zeros((16, 8, 8), np.uint8).view(Gone)
    own = load_split(broken, np.arange(16), part().labels.numpy(), 8, "cpu")
    with pytest.raises(OSError, match=r"Input/output error: 'images\.npy'"):
        fit(tiny(), train=own, val=part())


def test_no_thread_reads_on_when_a_step_fails(monkeypatch):
    monkeypatch.setattr("cxr14.training.dataset.free_bytes", lambda device: 0)

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(tiny(), on_step=fail)
    assert caught.tb is not None  # it still holds the frames of the loop
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


class Waits(TorchDispatchMode):
    """Lists what makes the CPU wait for a device; `meta` stands for the device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        if name == "_local_scalar_dense" and args[0].is_meta:
            self.found.append(name)
            return 0.5
        if name == "_to_copy" and kwargs.get("device") == torch.device("cpu"):
            self.found.append(name)
            return torch.zeros(args[0].shape, dtype=args[0].dtype)
        if name == "lift_fresh" and args[0].is_meta:  # numbers of Python's, sent to the device
            self.found.append(name)
        result = function(*args, **kwargs)
        tensors = [tensor for tensor in args if isinstance(tensor, torch.Tensor)]
        if isinstance(result, torch.Tensor) and name in ("_to_copy", "copy_"):
            crosses = {tensor.device for tensor in [*tensors, result]} > {result.device}
            blocking = not (kwargs.get("non_blocking") or args[2:] == (True,))
            self.found += [name] * (crosses and blocking)
        return result


class OnMeta(Compute):
    """A device that torch has no autocast for."""

    def autocast(self):
        return nullcontext()


def waits_of_an_epoch(count, monkeypatch, ema=0.0, network=tiny, side=8, **loss):
    """What one epoch of count/8 steps waits for."""
    monkeypatch.setattr(LossMeter, "flush", lambda self: self._batches.clear() or [0.5])
    compute = OnMeta("meta", "fp32", channels_last=False)
    recipe = replace(RECIPE, augment=CHANGES, ema=ema)
    own = part(count=count)
    own.labels = own.labels.to("meta")
    own.images.images = torch.empty(count, side, side, dtype=torch.uint8, device="meta")
    loop = make_loop(train=own, weighting="batch")
    if loss:
        loop.loss = loss_of(**loss, train_labels=own.labels)
    monkeypatch.setattr(  # torch has no fused ones for meta
        "cxr14.training.engine.make_optimizer",
        lambda network, recipe: torch.optim.SGD(network.parameters(), lr=0.1),
    )
    session = Session(network(), recipe, compute, 100)
    waits = Waits()
    with waits:
        loop._run_steps(session, session.network)
    return waits.found


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_how_often_the_cpu_waits_for_the_device_does_not_depend_on_the_steps(ema, monkeypatch):
    """It sends order and changes once an epoch; the looks at the losses are every 25 steps."""
    few, many = (waits_of_an_epoch(count, monkeypatch, ema) for count in (16, 80))
    assert few == many
    assert set(few) == {"_to_copy"}


@pytest.mark.parametrize("backbone", [*STUDIED, "vit_b_16", "efficientnet_v2_s"])
def test_no_step_of_a_backbone_waits_for_the_device(backbone, monkeypatch):
    """GoogLeNet used to send the mean and deviation of its inputs in every step."""

    def network():
        with torch.device("meta"):  # no weight is drawn
            return build_network(backbone, 8, "lse", 10.0, seed=1)

    few, many = (
        waits_of_an_epoch(count, monkeypatch, network=network, side=64) for count in (8, 16)
    )
    assert few == many


@pytest.mark.parametrize("weighting", ["batch", "class", "none"])
@pytest.mark.parametrize("name", TERMS)
def test_no_step_of_a_loss_waits_for_the_device(name, weighting, monkeypatch):
    loss = {"name": name, "weighting": weighting, "smoothing": 0.1}
    few, many = (waits_of_an_epoch(count, monkeypatch, **loss) for count in (8, 24))
    assert few == many
