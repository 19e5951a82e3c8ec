"""Where and how precisely to compute: rules, no timing, so that the choice is always the same.

`device: auto` is a GPU where torch sees one, else the CPU.
`precision: auto` is bf16 on GPUs from compute capability 8.0 (Ampere) on, else fp32. On CPUs bf16
is slower than fp32 unless they have AMX, so it is never chosen there.
Memory is channels_last on GPUs; on CPUs for the backbones where it was measured to be faster.
"""

from dataclasses import dataclass

import torch

from cxr14.errors import UserError

CHANNELS_LAST_ON_CPU = ("googlenet", "resnet50")
"""Training step at 96 px, 2 cores: 43 against 32 and 20 against 15 images/s."""

BF16_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Compute:
    """The choice that was made; recorded in model.json."""

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


def choose(device: str, precision: str, backbone: str) -> Compute:
    """Resolve `auto` by the rules above; a GPU is set to kernels that give the same bits again.

    Args:
        device: auto, cpu or cuda.
        precision: auto, fp32 or bf16.
        backbone: name of the backbone.

    Raises:
        UserError: cuda is asked for and there is none.
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
