"""What can go wrong in the middle of a training, told in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cxr14.errors import UserError
from cxr14.training.watch import NotFiniteError


@contextmanager
def explained(backbone: str, images: list[str]) -> Iterator[None]:
    """Turn a loss that is not finite, and memory that does not suffice, into advice.

    Args:
        backbone: what is trained.
        images: names, in the order of the train part.

    Raises:
        UserError: with the advice.
    """
    try:
        yield
    except NotFiniteError as error:
        batch = ", ".join(images[place] for place in error.places.tolist())
        raise UserError(
            f"{backbone}: {error} of the epoch; lower train.learning_rate, or look at the images "
            f"of that batch: {batch}"
        ) from None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"{backbone}: out of memory; lower train.batch_size or train.input_size "
            f"(train.overrides.{backbone} changes them for this backbone alone)"
        ) from error


MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Of CPUs, of the driver (pinned memory, events), of a library's own workspace."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says so; torch has a class for its own memory of GPUs, else texts."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in MEMORY)
