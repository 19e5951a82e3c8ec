"""The training loop and its batches: the same weights, errors that surface, no waiting."""

import threading
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cxr14.models.inputs import normalise
from cxr14.training.augment import Augment, augment
from cxr14.training.device import Compute
from cxr14.training.loop import _train_epoch, train
from cxr14.training.losses import make_loss
from cxr14.training.parts import Part, load_part, shrink
from tests.training.tiny import CPU, RECIPE, fit, part, tiny


def plain_states(images, labels, recipe, size) -> list[dict]:
    """Weights after every epoch of a loop without batches ahead, devices or anything else."""
    network, generator = tiny(), torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, momentum=0.9)
    loss = make_loss("cross_entropy", "batch", labels)
    small, states = shrink(images, size), []
    for _ in range(recipe.epochs):
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(images) - recipe.batch_size + 1, recipe.batch_size):
            rows = order[start : start + recipe.batch_size]
            grey = augment(small[rows][:, None].float() / 255, recipe.augment, generator)
            value = loss(network(normalise(grey)), labels[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
    return states


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_weights_are_those_of_a_plain_loop_bit_for_bit(kind, monkeypatch):
    if kind == "streamed":
        monkeypatch.setattr("cxr14.data.batches.free_bytes", lambda device: 0)
    changes = Augment(flip=0.5, rotation=10, scale=0.1, shift=0.1, brightness=0.1)
    plan = {"optimizer": "sgd", "schedule": "constant", "warmup_fraction": 0.0}
    recipe = replace(RECIPE, **plan, batch_size=6, epochs=3, augment=changes)
    images = np.random.default_rng(1).integers(0, 256, (33, 16, 16), dtype=np.uint8)
    rows = np.random.default_rng(2).permutation(33)[:22]
    labels = np.float32(np.random.default_rng(3).random((22, 15)) < 0.5)
    own = load_part(images, rows, labels, 8, "cpu")
    assert own.images.kind == kind
    loss = make_loss("cross_entropy", "batch", own.labels)
    trained = train(tiny(), own, part(), loss, recipe, CPU, lambda row: None)
    states = plain_states(torch.from_numpy(images[rows]), own.labels, recipe, 8)
    expected = states[trained.best_epoch - 1]
    assert all(torch.equal(trained.state[name], expected[name]) for name in expected)


class Gone(np.ndarray):
    """A file that cannot be read."""

    def take(self, *args, **kwargs):
        raise OSError(5, "Input/output error", "images.npy")


def test_a_file_that_cannot_be_read_stops_training_with_its_message(monkeypatch):
    monkeypatch.setattr("cxr14.data.batches.free_bytes", lambda device: 0)
    broken = np.zeros((16, 8, 8), np.uint8).view(Gone)
    own = load_part(broken, np.arange(16), part().labels.numpy(), 8, "cpu")
    loss = make_loss("cross_entropy", "none", own.labels)
    with pytest.raises(OSError, match=r"Input/output error: 'images\.npy'"):
        train(tiny(), own, part(), loss, RECIPE, CPU, lambda row: None)


def test_no_thread_reads_on_when_a_step_fails(monkeypatch):
    monkeypatch.setattr("cxr14.data.batches.free_bytes", lambda device: 0)

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
        if name == "_local_scalar_dense":
            self.found.append(name)
            return 0.5
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


@pytest.mark.parametrize("count", [16, 48])
def test_the_cpu_waits_for_the_device_thrice_an_epoch_however_many_steps(count):
    """To send the order for the labels and for the images, and for the mean loss; a step waits not."""
    own = Part(part(count=count).images, part(count=count).labels.to("meta"))
    own.images.images = own.images.images.to("meta")
    network, waits = tiny().to("meta"), Waits()
    loss = make_loss("cross_entropy", "batch", own.labels)
    recipe = replace(RECIPE, augment=Augment(flip=0.5, rotation=10, brightness=0.1))
    generator = torch.Generator().manual_seed(1)
    compute = OnMeta("meta", "fp32", channels_last=False)
    with waits:
        _train_epoch(network, own, loss, recipe, compute, generator, torch.autograd.backward)
    assert waits.found == ["_to_copy", "_to_copy", "_local_scalar_dense"]
