"""A part, its order and its size."""

import numpy as np
import torch

from cxr14.training.dataset import SplitData, load_split, shrink, steps_per_epoch


def loaded(images: np.ndarray, size: int) -> SplitData:
    labels = np.eye(len(images), 15, dtype=np.float32)
    labels.flags.writeable = False  # as pandas gives them; torch used to warn
    return load_split(images, np.arange(len(images)), labels, size, "cpu")


def test_images_beyond_the_last_whole_batch_make_no_step():
    assert [steps_per_epoch(count, 4) for count in (4, 7, 8, 19)] == [1, 1, 2, 4]


def test_a_part_is_shrunk_once_and_stays_uint8():
    part = loaded(np.full((3, 16, 16), 200, np.uint8), 8)
    images, _ = next(part.batches(torch.arange(3), 3))
    assert images.dtype == torch.uint8
    assert images.shape == (3, 8, 8)
    assert images.unique().tolist() == [200]


def test_at_the_size_of_the_cache_not_a_byte_changes():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert (next(loaded(images, 16).batches(torch.arange(1), 1))[0].numpy() == images).all()


def test_how_many_images_are_shrunk_together_changes_nothing():
    """Resident images are shrunk many at a time, streamed ones a batch at a time."""
    images = torch.from_numpy(
        np.random.default_rng(1).integers(0, 256, (37, 64, 64), dtype=np.uint8)
    )
    for size in (63, 48, 32, 17):
        together = shrink(images, size)
        for pieces in (1, 5, 16):
            assert torch.equal(
                torch.cat([shrink(piece, size) for piece in images.split(pieces)]), together
            )


def test_images_come_with_their_labels():
    images = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None], (12, 4, 4))
    order = torch.tensor([7, 0, 11, 3, 3])
    seen = list(loaded(images, 4).batches(order, 2))
    assert [len(labels) for _, labels in seen] == [2, 2, 1]
    for pixels, labels in seen:
        assert pixels[:, 0, 0].tolist() == labels.argmax(dim=1).tolist()
    assert torch.cat([pixels for pixels, _ in seen])[:, 0, 0].tolist() == order.tolist()
