"""The way to a GPU: to one played here, which copies as late as it may, and to a real one."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from cxr14.training.dataset import SLOTS, Resident, Streamed, free_bytes
from tests.datasets.arrays import halved, pictures

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class LateEvent:
    """The end of copies that begin only when somebody waits for them."""

    everyone: list["LateEvent"] = []  # noqa: RUF012 - the test empties it

    def __init__(self, blocking=False):
        assert blocking  # or the waiting thread would keep a core busy
        self.copies = []
        self.everyone.append(self)

    def record(self, stream):
        self.copies, stream.copies = self.copies + stream.copies, []

    def synchronize(self):
        while self.copies:
            self.copies.pop(0)()


class LateStream:
    def __init__(self):
        self.copies, self.awaited = [], []

    def wait_event(self, event):
        self.awaited.append(event)


@pytest.fixture
def gpu(monkeypatch):
    """Stands for torch.cuda; yields the stream that computes, and what was said of tensors."""
    side, computing, said = LateStream(), LateStream(), {"pinned": [], "kept": []}
    empty = torch.empty

    def fake_empty(*args, pin_memory=False, **kwargs):
        said["pinned"].append(pin_memory)
        return empty(*args, **kwargs)

    def fake_to(source, device, non_blocking=False):
        assert device == "cuda"
        assert non_blocking
        target = torch.zeros_like(source)
        side.copies.append(lambda: target.copy_(source))
        return target

    monkeypatch.setattr(torch, "empty", fake_empty)
    monkeypatch.setattr(torch.Tensor, "to", fake_to)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda tensor, stream: said["kept"].append(stream)
    )
    monkeypatch.setattr(torch.cuda, "Stream", lambda: side)
    monkeypatch.setattr(torch.cuda, "Event", LateEvent)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: computing)
    monkeypatch.setattr(LateEvent, "everyone", [])
    return computing, said


def test_a_buffer_is_not_filled_again_before_the_device_has_copied_it(gpu):
    computing, said = gpu
    images = pictures(20)
    found = list(Streamed(images, np.arange(20), "cuda").batches(torch.arange(20), 3))
    assert not found[-1].any()  # its copy has not begun: nothing here waits for the device
    for event in LateEvent.everyone:
        event.synchronize()
    assert (torch.cat(found).numpy() == images).all()
    assert said["pinned"] == [True] * SLOTS
    assert len(computing.awaited) == len(found) == 7  # no batch is used before it has arrived
    assert said["kept"] == [computing] * 7  # nor its memory given away while it is in use


def test_without_a_gpu_no_memory_is_pinned_and_nothing_is_recorded(gpu):
    _, said = gpu
    assert len(list(Streamed(pictures(), np.arange(12), "cpu").batches(torch.arange(12), 4))) == 3
    assert said["pinned"] == [False] * SLOTS
    assert not LateEvent.everyone


@needs_cuda
def test_a_real_gpu_gets_the_same_batches():
    images, rows = pictures(500, 64), np.random.default_rng(2).permutation(500)
    streamed = Streamed(images, rows, "cuda", halved)
    order = torch.randperm(500)
    for source in (streamed, Resident(streamed, 32)):
        found = torch.cat(list(source.batches(order, 16)))
        assert found.device.type == "cuda"
        assert (found.cpu().numpy() == images[rows[order.numpy()]][:, ::2, ::2]).all()
    assert free_bytes("cuda") > 0
