"""Batches of cached images: resident and streamed ones are the same."""

import ctypes
import mmap
import os
import sys
import threading
import time
from contextlib import nullcontext

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cxr14.data import batches
from cxr14.data.batches import SHARE, SLOTS, Resident, Streamed, free_bytes, load
from cxr14.files import write_npy

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def pictures(count: int = 12, side: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def halved(images: Tensor) -> Tensor:
    """Every second pixel."""
    return images[:, ::2, ::2].contiguous()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_resident_and_streamed_images_come_in_the_same_batches(data):
    """Everything is kept until the end, so a reused buffer that was handed out would show."""
    images = pictures(data.draw(st.integers(1, 9)))
    rows = np.array(data.draw(st.lists(st.integers(0, len(images) - 1), min_size=1, max_size=12)))
    places = st.integers(0, len(rows) - 1)
    order = torch.tensor(data.draw(st.lists(places, max_size=20)), dtype=torch.int64)
    size = data.draw(st.integers(1, 7))
    streamed = Streamed(images, rows, "cpu", halved)
    resident = Resident(streamed, 3)
    assert len(streamed) == len(resident) == len(rows)
    found = [list(source.batches(order, size)) for source in (resident, streamed)]
    expected = images[rows[order.numpy()]][:, ::2, ::2]
    for given_out in found:
        lengths = [len(batch) for batch in given_out]
        assert lengths == [len(order[at : at + size]) for at in range(0, len(order), size)]
        if given_out:
            assert (torch.cat(given_out).numpy() == expected).all()


def test_images_are_brought_over_in_several_goes(monkeypatch):
    monkeypatch.setattr(batches, "LOAD_BATCH", 5)
    images, rows = pictures(), np.array([3, 1, 11, 0, 4, 4, 7])
    assert (Resident(Streamed(images, rows, "cpu"), 6).images.numpy() == images[rows]).all()


def test_a_mapped_file_is_read_batch_by_batch(tmp_path):
    write_npy(tmp_path / "images.npy", pictures())
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    streamed = Streamed(mapped, np.arange(12)[::-1].copy(), "cpu")
    assert streamed.images is mapped
    found = torch.cat(list(streamed.batches(torch.arange(12), 5)))
    assert (found.numpy() == pictures()[::-1]).all()


def resident_pages(mapped: np.memmap) -> np.ndarray:
    """Which pages of a mapping are in memory, by the kernel's account."""
    libc = ctypes.CDLL(None, use_errno=True)
    base = np.frombuffer(mapped.base, np.uint8)
    flags = np.zeros(-(-len(base) // mmap.PAGESIZE), np.uint8)
    address = ctypes.c_void_p(base.ctypes.data)
    assert (
        libc.mincore(address, ctypes.c_size_t(len(base)), ctypes.c_void_p(flags.ctypes.data)) == 0
    )
    return (flags & 1).astype(bool)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the pages in memory")
def test_the_rows_of_a_batch_are_asked_for_before_they_are_read(tmp_path):
    """Row after row, each waiting for the disk, used to take seven times as long."""
    path = tmp_path / "images.npy"
    write_npy(path, pictures(64, 224))
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    mapped = np.load(path, mmap_mode="r")
    before = resident_pages(mapped)
    wanted = np.zeros(len(before), bool)
    for row in (60, 5):
        start = mapped.offset + row * 224**2
        wanted[start // mmap.PAGESIZE : (start + 224**2 - 1) // mmap.PAGESIZE + 1] = True
    if before[wanted].any() or before.mean() > 0.5:
        pytest.skip(f"{before.mean():.0%} of the file stayed in memory, asked to be dropped")
    batches._announce(mapped, np.array([60, 5]))
    patience = time.monotonic() + 10
    while not resident_pages(mapped)[wanted].all() and time.monotonic() < patience:
        time.sleep(0.01)
    found = resident_pages(mapped)
    assert found[wanted].all()
    assert found.mean() < 0.5


@pytest.mark.parametrize("row", [-1, 12])
def test_a_row_beyond_the_cache_is_refused(row):
    with pytest.raises(ValueError, match=rf"row {row} is asked for; the cache has 12 rows"):
        Streamed(pictures(), np.array([0, row]), "cpu")


class Counted(np.ndarray):
    """Tells how often it was read."""

    takes = 0

    def take(self, *args, **kwargs):
        type(self).takes += 1
        return super().take(*args, **kwargs)


def test_the_next_batch_is_read_while_this_one_is_used_and_no_more(monkeypatch):
    monkeypatch.setattr(Counted, "takes", 0)
    streamed = Streamed(pictures(20).view(Counted), np.arange(20), "cpu")
    found = streamed.batches(torch.arange(20), 2)
    assert Counted.takes == 0
    next(found)
    patience = time.monotonic() + 10
    while Counted.takes < 1 + SLOTS and time.monotonic() < patience:
        time.sleep(0.001)
    time.sleep(0.05)
    assert Counted.takes == 1 + SLOTS
    found.close()


class Gone(np.ndarray):
    """Fails at the third read."""

    takes = 0

    def take(self, *args, **kwargs):
        type(self).takes += 1
        if self.takes == 3:
            raise OSError(5, "Input/output error", "images.npy")
        return super().take(*args, **kwargs)


def test_what_goes_wrong_in_the_thread_stops_the_consumer_with_its_message(monkeypatch):
    monkeypatch.setattr(Gone, "takes", 0)
    seen = []
    with pytest.raises(OSError, match=r"Input/output error: 'images\.npy'"):
        seen.extend(
            Streamed(pictures().view(Gone), np.arange(12), "cpu").batches(torch.arange(12), 2)
        )
    assert not threads()


def test_a_place_beyond_the_part_stops_both_kinds():
    streamed = Streamed(pictures(), np.arange(3), "cpu")
    for source in (streamed, Resident(streamed, 6)):
        with pytest.raises(IndexError, match="out of"):
            list(source.batches(torch.tensor([0, 1, 3]), 2))
    assert not threads()


def test_the_thread_ends_when_the_iterator_is_closed_early_or_used_up():
    streamed = Streamed(pictures(), np.arange(12), "cpu")
    found = streamed.batches(torch.arange(12), 2)
    next(found)
    assert len(threads()) == 1
    found.close()
    assert not threads()
    assert len(list(streamed.batches(torch.arange(12), 2))) == 6
    assert not threads()


def test_images_stay_on_the_device_up_to_a_share_of_its_free_memory(monkeypatch):
    needed = 10 * 3**2
    for free, kind in ((needed / SHARE + 1, "resident"), (needed / SHARE - 1, "streamed")):
        monkeypatch.setattr(batches, "free_bytes", lambda device, free=free: free)
        source = load(pictures(), np.arange(10), 3, "cpu", halved)
        assert source.kind == kind
        assert next(source.batches(torch.tensor([4]), 1)).shape == (1, 3, 3)


def test_the_free_memory_of_a_cpu_is_what_the_machine_has_left():
    assert 0 < free_bytes("cpu") < psutil.virtual_memory().total


def test_processes_that_share_a_machine_share_its_memory(monkeypatch):
    """Each used to take what there was for one: two of them, with train and validation, too much."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert free_bytes("cpu") < psutil.virtual_memory().total / 1000


# --- the way to a GPU, with a GPU that copies as late as it may ---


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
