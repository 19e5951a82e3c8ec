"""Streamed images are read ahead by a thread, which ends with its consumer or its first error."""

import ctypes
import mmap
import os
import sys
import threading
import time

import numpy as np
import pytest
import torch

from cxr14.io import write_npy
from cxr14.training import dataset
from cxr14.training.dataset import SLOTS, Resident, Streamed
from tests.datasets.arrays import pictures


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


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
    dataset._announce(mapped, np.array([60, 5]))
    patience = time.monotonic() + 10
    while not resident_pages(mapped)[wanted].all() and time.monotonic() < patience:
        time.sleep(0.01)
    found = resident_pages(mapped)
    assert found[wanted].all()
    assert found.mean() < 0.5


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
