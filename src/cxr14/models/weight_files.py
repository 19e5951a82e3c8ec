"""Files of weights: safetensors, torch's state dicts, and whole networks, without running code."""

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from cxr14.errors import UserError
from cxr14.io import check_file, unusable, write_bytes

SUFFIXES = (".safetensors", ".pth", ".pt")


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


def read_checkpoint(path: Path) -> "OrderedDict[str, Tensor]":
    """Read a file of torch that holds tensors alone, on the CPU.

    Raises:
        UserError: it is no such file, or holds more than tensors.
    """
    try:
        state: OrderedDict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise UserError(f"{path} holds more than tensors, and is not opened") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:  # truncated, no zip
        raise unusable(path, f"is no file of weights ({type(error).__name__})") from None
    if not isinstance(state, dict):
        raise unusable(path, "is no file of weights")
    return state


WRAPPERS = ("model_ema", "state_dict", "model", "module")
"""Keys under which training scripts save the weights beside other things."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors, .pth or .pt file, on the CPU.

    Raises:
        UserError: it is damaged, or holds anything else than named tensors.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    state: Any = read_checkpoint(path)
    for key in WRAPPERS:
        state = state[key] if isinstance(state.get(key), dict) else state
    named = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if not named or len(named) < len(state):
        raise UserError(f"{path} is no state dict: it should hold named tensors only")
    return {name.removeprefix("module."): tensor.detach() for name, tensor in named.items()}


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, each with its own memory."""
    write_bytes(path, save({name: t.clone().contiguous() for name, t in tensors.items()}))


class PickledModule:
    """Stand-in for the module classes of a pickled network; it only holds their attributes."""

    dump_patches = False  # torch reads it


HARMLESS = {
    ("collections", "OrderedDict"),
    ("builtins", "set"),
    ("__builtin__", "set"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}
"""Callables that a pickled network may name beside module classes."""


class _TensorUnpickler(pickle.Unpickler):
    """Unpickler that knows :data:`HARMLESS` and stand-ins, so that no code of a file runs."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the class or function of a name."""
        if module.startswith(("torchxrayvision.", "torch.nn.modules.")):
            return PickledModule
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def read_pickled_network(path: Path) -> dict[str, Tensor]:
    """Read the weights of a network that was saved as a whole, ``torch.save(network)``.

    So torchxrayvision's files are made (its scripts/train_utils.py), in the format of torch before
    1.6, which ``weights_only=True`` refuses.

    Raises:
        pickle.UnpicklingError: the file holds other things than modules and tensors.
    """
    unpickler = SimpleNamespace(
        __name__="tensors",
        Unpickler=_TensorUnpickler,
        load=lambda file, **kwargs: _TensorUnpickler(file).load(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the stand-ins' source code
        network = torch.load(path, "cpu", pickle_module=unpickler, weights_only=False)
    if not isinstance(network, PickledModule):
        raise pickle.UnpicklingError("it holds no network")
    return dict(_named_tensors(network, ""))


def _named_tensors(module: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    held = vars(module)
    for name, tensor in {**held.get("_parameters", {}), **held.get("_buffers", {})}.items():
        if isinstance(tensor, Tensor):
            yield prefix + name, tensor.detach()
    for name, child in held.get("_modules", {}).items():
        yield from _named_tensors(child, f"{prefix}{name}.")
