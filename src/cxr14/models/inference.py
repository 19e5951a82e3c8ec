"""Inference: device, precision, and preparation of images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxr14.errors import UserError


@contextmanager
def deterministic_inference(network: nn.Module) -> Iterator[str]:
    """Move a network to the GPU if there is one; compute in deterministic float32 in the block.

    Convolutions on the GPU are deterministic and do not round to TF32, torch's default for them.

    Args:
        network: moved in place; stays on that device.

    Yields:
        cuda or cpu, the device of the network.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield device


# torchvision's ImageNet statistics, RGB, of images scaled to 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize grey images to a square, bilinear with antialiasing.

    Args:
        images: uint8 or float (B, S, S), values 0..255.
        size: pixels per side of the result.

    Returns:
        float32 (B, 1, size, size), values 0..1.
    """
    grey = images[:, None].to(torch.float32, copy=True).div_(255)
    if grey.shape[-1] == size and grey.shape[-2] == size:
        return grey
    return F.interpolate(grey, (size, size), mode="bilinear", antialias=True, align_corners=False)


def normalise(grey: Tensor) -> Tensor:
    """Convert grey float (B, 1, s, s) in 0..1 to ImageNet-normalized float (B, 3, s, s)."""
    # `non_blocking`: the copy does not wait for the GPU. In place: allocating a second array takes
    # a CPU longer than the arithmetic.
    mean, std = (
        torch.tensor(values, dtype=grey.dtype).view(1, 3, 1, 1).to(grey.device, non_blocking=True)
        for values in (MEAN, STD)
    )
    return (grey - mean).div_(std)


def prepare(images: Tensor, size: int) -> Tensor:
    """Resize and normalize uint8 (B, S, S) to float32 (B, 3, size, size)."""
    return normalise(resize(images, size))


class Renormalization(nn.Module):
    """The normalization (x − mean) / std that some weights expect, from ImageNet-normalized images.

    All statistics are buffers, so that no step copies them to the GPU; they are not saved.

    Args:
        mean: of grey values in 0..1; one value per channel of the result, 3 or 1.
        std: in the same form.
    """

    imagenet_mean: Tensor
    imagenet_std: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        channels = len(mean)
        statistics = {
            "imagenet_mean": MEAN[:channels],
            "imagenet_std": STD[:channels],
            "mean": mean,
            "std": std,
        }
        for name, values in statistics.items():
            buffer = torch.tensor(tuple(values)).view(1, channels, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, channels, s, s) of (B, 3, s, s); of grey images all channels are equal."""
        grey = images[:, : self.mean.shape[1]] * self.imagenet_std + self.imagenet_mean
        return (grey - self.mean) / self.std


HALF = (0.5, 0.5, 0.5)
"""Mean and deviation of weights that expect images in −1..1."""


# Device, precision and memory layout, by fixed rules.
#
# `device: auto` is a GPU where torch sees one, else the CPU.
# `precision: auto` is bf16 on GPUs from compute capability 8.0 (Ampere) on, else fp32. On CPUs bf16
# is slower than fp32 unless they have AMX, so it is never chosen there.
# Memory is channels_last on GPUs; on CPUs for the backbones where it was measured to be faster.


CHANNELS_LAST_ON_CPU = ("alexnet", "googlenet", "resnet50", "densenet121")
"""Training step, 2 cores: at 96 px 43 against 32 and 20 against 15 images/s (googlenet, resnet50);
with AVX2, at 112 px 201 against 185 (alexnet), at 64 px 63 against 56 (densenet121)."""

BF16_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Compute:
    """Device, precision and memory layout; recorded in model.json."""

    device: str
    precision: str
    channels_last: bool

    def __str__(self) -> str:
        return f"{self.device} in {self.precision}"

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of images and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def random_devices(self) -> list[int]:
        """Return the GPUs whose random state training uses."""
        return [torch.cuda.current_device()] if self.device == "cuda" else []

    def autocast(self) -> torch.autocast:
        """Return the context in which forward passes run."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


def resolve_compute(device: str, precision: str, backbone: str) -> Compute:
    """Resolve `auto` by the rules above; a GPU is set to deterministic kernels.

    Args:
        device: auto, cpu or cuda.
        precision: auto, fp32 or bf16.
        backbone: name of the backbone.

    Raises:
        UserError: cuda is required and there is no GPU.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UserError("train.device is cuda, but torch sees no GPU; use auto or cpu")
    chosen = "cuda" if device != "cpu" and available else "cpu"
    if precision == "auto":
        capable = chosen == "cuda" and torch.cuda.get_device_capability() >= BF16_CAPABILITY
        precision = "bf16" if capable else "fp32"
    channels_last = chosen == "cuda" or backbone in CHANNELS_LAST_ON_CPU
    if chosen == "cuda":
        torch.backends.cudnn.deterministic = True
    return Compute(chosen, precision, channels_last)
