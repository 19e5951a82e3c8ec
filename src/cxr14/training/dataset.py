"""Batches of cached images: resident in the device's memory if they fit, else streamed to it.

Both give the same tensors in the same order. The consumer never waits for the device: rows are
chosen on the CPU, and copies to a GPU overlap with the computation.
"""

import mmap
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr14.errors import UserError
from cxr14.labels import CLASSES
from cxr14.models.inference import resize

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Change = Callable[[Tensor], Tensor]  # uint8 (B, S, S) to uint8 (B, s, s), on the device

SHARE = 0.4
"""Maximum share of the device's free memory for one split. After train and val, at least
.6² = 36 % of it remain for the network, its gradients and activations."""

SLOTS = 2
"""Reused buffers: one is read from the file while the device copies from the other."""

LOAD_BATCH = 256
"""Images per copy when all of them become resident."""


@dataclass
class _Slot:
    """A reused buffer uint8 (B, S, S), pinned for CUDA, and the end of the last copy from it."""

    buffer: Tensor
    copied: torch.cuda.Event | None


class Streamed:
    """Rows of the cache, read from the file batch by batch, one batch ahead."""

    def __init__(
        self, images: Images, rows: Rows, device: str, change: Change = lambda images: images
    ) -> None:
        """Read nothing yet.

        Args:
            images: uint8 (N, S, S), may be mapped from a file.
            rows: int64 (M,), which of them, in this order.
            device: cpu or cuda.
            change: applied to every batch on the device, image by image.

        Raises:
            UserError: a row is not in the cache.
        """
        beyond = rows[(rows < 0) | (rows >= len(images))]
        if len(beyond):
            raise UserError(f"there is no row {beyond[0]}; the cache has {len(images)} rows")
        self.images, self.rows, self.device, self.change = images, rows, device, change
        on_cuda = device == "cuda"
        self.stream = torch.cuda.Stream() if on_cuda else None  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, order: Tensor, batch_size: int) -> Generator[Tensor, None, None]:
        """Yield images in an order; the thread that reads ahead ends with the iterator.

        Args:
            order: int64 (K,) on the CPU, indices into `rows`.
            batch_size: images per batch; the last one may be smaller.

        Yields:
            uint8 (B, s, s) on the device.

        Raises:
            IndexError, OSError: reading failed.
        """
        slots = [self._slot(min(batch_size, len(order))) for _ in range(SLOTS)]
        steps = zip(_cut(order, batch_size), cycle(slots), strict=False)
        pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        try:
            jobs = deque(pool.submit(self._fill, *step) for step in islice(steps, SLOTS))
            while jobs:
                batch = self._move(*jobs.popleft().result())
                jobs.extend(pool.submit(self._fill, *step) for step in islice(steps, 1))
                yield self.change(batch)
        finally:
            pool.shutdown(cancel_futures=True)

    def _slot(self, count: int) -> _Slot:
        shape, on_cuda = (count, *self.images.shape[1:]), self.stream is not None
        buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=on_cuda)
        copied = torch.cuda.Event(blocking=True) if on_cuda else None  # type: ignore[no-untyped-call]
        return _Slot(buffer, copied)

    def _fill(self, order: Tensor, slot: _Slot) -> tuple[_Slot, int]:
        """Gather rows into a buffer, in the thread; NumPy and CUDA let the others run meanwhile."""
        if slot.copied is not None:
            slot.copied.synchronize()  # the device may still be copying from it
        rows = self.rows[order.numpy()]
        _announce(self.images, rows)
        # `clip`, as `raise` copies twice; __init__ has checked the rows.
        np.take(self.images, rows, axis=0, out=slot.buffer[: len(rows)].numpy(), mode="clip")
        return slot, len(rows)

    def _move(self, slot: _Slot, count: int) -> Tensor:
        """Copy a filled buffer to the device, asynchronously on a GPU."""
        if self.stream is None or slot.copied is None:
            return slot.buffer[:count].clone()
        with torch.cuda.stream(self.stream):
            batch = slot.buffer[:count].to(self.device, non_blocking=True)
            slot.copied.record(self.stream)
        computing = torch.cuda.current_stream()
        computing.wait_event(slot.copied)
        batch.record_stream(computing)  # allocated on the side stream, used on this one
        return batch


class Resident:
    """Images that are all in the device's memory, resized once."""

    def __init__(self, streamed: Streamed, size: int) -> None:
        """Load the images onto the device.

        Args:
            streamed: the images.
            size: pixels per side of the changed images, s.
        """
        count = len(streamed)
        self.images = torch.empty((count, size, size), dtype=torch.uint8, device=streamed.device)
        loading = streamed.batches(torch.arange(count), LOAD_BATCH)
        for target, batch in zip(_cut(self.images, LOAD_BATCH), loading, strict=True):
            target.copy_(batch)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, order: Tensor, batch_size: int) -> Generator[Tensor, None, None]:
        """Yield images in an order; as :meth:`Streamed.batches`."""
        for indices in _cut(order.to(self.images.device), batch_size):
            yield self.images.index_select(0, indices)


def load(images: Images, rows: Rows, size: int, device: str, change: Change) -> Resident | Streamed:
    """Load images as resident if they take at most SHARE of the device's free memory, else stream.

    Args:
        images: uint8 (N, S, S), may be mapped from a file.
        rows: int64 (M,), which of them, in this order.
        size: pixels per side of the changed images, s.
        device: cpu or cuda.
        change: uint8 (B, S, S) to uint8 (B, s, s), image by image.
    """
    streamed = Streamed(images, rows, device, change)
    fits = len(rows) * size**2 <= SHARE * free_bytes(device)
    return Resident(streamed, size) if fits else streamed


def _announce(images: Images, rows: Rows) -> None:
    """Prefetch rows of a mapped file (madvise).

    Otherwise they are read one after the other: 1,000 images per second from a disk instead of
    7,000 (224 px, cold page cache). Sorting the rows gained nothing.
    """
    if isinstance(images, np.memmap) and isinstance(images.base, mmap.mmap):
        size = images[0].nbytes
        first = images.offset % mmap.ALLOCATIONGRANULARITY  # of the file, where the mapping begins
        for start in (first + rows * size).tolist():
            page = start - start % mmap.PAGESIZE
            images.base.madvise(mmap.MADV_WILLNEED, page, start + size - page)


def _cut(tensor: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Split a tensor along its first axis; an empty one into no pieces (torch: one empty piece)."""
    return torch.split(tensor, batch_size) if len(tensor) else ()


def free_bytes(device: str) -> int:
    """Return the free memory of the GPU, or this rank's share of the machine's free memory."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    import psutil  # for CPUs only

    # Each of torchrun's processes on this machine holds its own copy of the images.
    return int(psutil.virtual_memory().available) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


@dataclass
class SplitData:
    """Images uint8 (N, s, s), on the device or streamed to it, and labels float32 (N, C)."""

    images: Resident | Streamed
    labels: Tensor
    classes: Sequence[str] = CLASSES

    def batches(
        self, order: Tensor, batch_size: int
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield images uint8 (B, s, s) and labels float32 (B, C) in an order, on the device.

        Args:
            order: int64 (K,) on the CPU.
            batch_size: images per batch; the last one may be smaller.
        """
        labels = torch.split(self.labels[order.to(self.labels.device)], batch_size)
        with closing(self.images.batches(order, batch_size)) as images:
            yield from zip(images, labels, strict=True)


def load_split(
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.float32],
    size: int,
    device: str,
    classes: Sequence[str] = CLASSES,
) -> SplitData:
    """Open a split at the training size; its images stay on the device if they fit.

    Args:
        images: uint8 (N, S, S), may be mapped from a file.
        rows: int64 (M,), of the split.
        labels: float32 (M, C).
        size: pixels per side, at most S.
        device: cpu or cuda.
        classes: C names of the columns of `labels`.
    """
    loaded = load(images, rows, size, device, partial(shrink, size=size))
    return SplitData(loaded, torch.tensor(labels, device=device), classes)


def shrink(images: Tensor, size: int) -> Tensor:
    """Resize uint8 (B, S, S) to uint8 (B, size, size), rounded."""
    if images.shape[-1] == size:
        return images
    return resize(images, size).mul_(255).round_().to(torch.uint8)[:, 0]


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the number of complete batches in `count` images."""
    return count // batch_size
