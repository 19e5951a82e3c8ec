"""Putting tensors from a file into a network, or saying which of them does not fit."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cxr14.errors import UserError
from cxr14.files import check_file, unusable


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, on the CPU.

    Raises:
        UserError: the file is missing, damaged or truncated.
    """
    check_file(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise unusable(path, f"is no safetensors file ({error})") from None


def load_fitting(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Load tensors by name, every one of them and no other.

    Args:
        network: changed in place; spoilt if an error is raised.
        tensors: by name, as in `network.state_dict()`.
        path: where they are from, for the error.
        name: of the backbone, for the error.

    Raises:
        UserError: naming the first tensor that does not fit, its shape, and what was expected.
    """
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        reason = _first_difference(expected, found)
        raise UserError(f"{path} does not fit {name}: {reason}") from None


def check_numbers(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that load and cannot be weights: integers in place of floats, infinities.

    Raises:
        UserError: naming the first such tensor.
    """
    for key, wanted in network.state_dict().items():
        tensor = tensors[key]
        if tensor.is_floating_point() != wanted.is_floating_point():
            raise UserError(f"{path}: {key} is {tensor.dtype}, expected {wanted.dtype}")
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {key} holds numbers that are not finite")


Shapes = Mapping[str, tuple[int, ...]]


def _first_difference(expected: Shapes, found: Shapes) -> str:
    for key in (key for key in expected if key in found and found[key] != expected[key]):
        return f"{key} has the shape {found[key]}, expected {expected[key]}"
    for key in (key for key in expected if key not in found):
        return f"{key} is missing, expected with the shape {expected[key]}"
    key = next(key for key in found if key not in expected)
    return f"{key} of shape {found[key]} is not expected"
