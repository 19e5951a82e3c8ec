"""What goes wrong in the middle of a training."""

import pytest
import torch

from cxr14.training.engine import NotFiniteError
from cxr14.training.train import explain_failures

NAMES = [f"{number:08d}_000.png" for number in range(20)]


def test_a_loss_that_is_not_finite_names_the_step_the_images_and_what_to_do():
    message = (
        r"^alexnet: the loss is nan in step 7 of the epoch; lower train\.learning_rate, or look "
        r"at the images of that batch: 00000003_000\.png, 00000011_000\.png$"
    )
    with pytest.raises(ValueError, match=message), explain_failures("alexnet", NAMES):
        raise NotFiniteError(float("nan"), 7, torch.tensor([3, 11]))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_that_does_not_suffice_says_what_to_lower(error):
    message = r"^vgg16: out of memory; lower train\.batch_size or train\.input_size \(train\.overri"
    with pytest.raises(ValueError, match=message), explain_failures("vgg16", NAMES):
        raise error


def test_memory_that_no_machine_has_is_out_of_memory_for_torch_too():
    with pytest.raises(ValueError, match="out of memory"), explain_failures("vgg16", NAMES):
        torch.empty(2**50)


def test_any_other_error_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="shapes"), explain_failures("vgg16", NAMES):
        raise RuntimeError("shapes do not fit")
