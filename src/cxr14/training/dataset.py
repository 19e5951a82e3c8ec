"""Batches of cached images, on the device: from its memory where they fit, else from the file.

Both ways give the same tensors in the same order. The consumer never waits for the device: rows
are chosen on the CPU, and every copy to a GPU runs beside the computation.
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
"""Of the device's free memory, what one set of images may take. After two sets, train and
validation, at least .6² = 36 % of it are left to the network, its gradients and activations."""

SLOTS = 2
"""Reused buffers: one is filled from the file while the device copies from the other."""

LOAD_BATCH = 256
"""Images that are brought to the device at a time when all of them stay there."""


@dataclass
class _Slot:
    """A reused buffer uint8 (B, S, S), pinned for CUDA, and the end of the last copy from it."""

    buffer: Tensor
    copied: torch.cuda.Event | None


class Streamed:
    """Some rows of the cache, read from the file for every batch, a batch ahead of its use."""

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
            raise UserError(f"row {beyond[0]} is asked for; the cache has {len(images)} rows")
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
            IndexError, OSError: whatever went wrong while reading.
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
        # `clip` because `raise` copies twice; that the rows exist is known since __init__.
        np.take(self.images, rows, axis=0, out=slot.buffer[: len(rows)].numpy(), mode="clip")
        return slot, len(rows)

    def _move(self, slot: _Slot, count: int) -> Tensor:
        """Bring a filled buffer to the device; on a GPU this returns before the copy is done."""
        if self.stream is None or slot.copied is None:
            return slot.buffer[:count].clone()
        with torch.cuda.stream(self.stream):
            batch = slot.buffer[:count].to(self.device, non_blocking=True)
            slot.copied.record(self.stream)
        computing = torch.cuda.current_stream()
        computing.wait_event(slot.copied)
        batch.record_stream(computing)  # its memory is the side stream's, its user is not
        return batch


class Resident:
    """Images that are all on the device, changed once."""

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
    """Choose: resident if the changed images take at most SHARE of the device's free memory.

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
    """Ask the system to read rows of a mapped file, all at once.

    Else each waits for the one before: from a disk that gave 1,000 images a second instead of
    7,000 (224 px, none of them in memory yet). Sorted rows gained nothing.
    """
    if isinstance(images, np.memmap) and isinstance(images.base, mmap.mmap):
        size = images[0].nbytes
        first = images.offset % mmap.ALLOCATIONGRANULARITY  # of the file, where the mapping begins
        for start in (first + rows * size).tolist():
            page = start - start % mmap.PAGESIZE
            images.base.madvise(mmap.MADV_WILLNEED, page, start + size - page)


def _cut(tensor: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Cut a tensor along its first axis; nothing is cut into no pieces (torch: one empty)."""
    return torch.split(tensor, batch_size) if len(tensor) else ()


def free_bytes(device: str) -> int:
    """Return the free memory of the GPU, or our share of what the CPU gives without swapping."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    import psutil  # a GPU needs none of it

    # torchrun's number of processes on this machine, each of which holds the images for itself.
    return int(psutil.virtual_memory().available) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


# A split: images and labels, batch by batch on the device.


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
        rows: int64 (M,), the part's.
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
    """Whole batches in `count` images; those beyond the last one rest for an epoch."""
    return count // batch_size
