"""Initial weights: ImageNet's of torchvision and timm, files, published ones, and LSUV."""

import re
import shutil
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.hub import download_url_to_file
from torch.nn.modules.batchnorm import _NormBase

from cxr14.errors import UserError
from cxr14.io import project_root, replacing, sha256
from cxr14.models.backbones import build_classifier, check_backbone
from cxr14.models.network import Network
from cxr14.models.published import PUBLISHED, convert_published, local_checkpoint
from cxr14.models.timm_backbones import TimmMaps, build_timm, default_weights, is_timm
from cxr14.models.torchvision_import import get_model_weights
from cxr14.models.weight_files import (
    SUFFIXES,
    read_checkpoint,
    read_safetensors,
    read_weights,
    write_tensors,
)


def load_fitting(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Load a state dict whose names and shapes are those of the network.

    Args:
        network: changed in place, also before an error.
        tensors: tensors by name, as in `network.state_dict()`.
        path: file of the tensors, for the error.
        name: name of the backbone, for the error.

    Raises:
        UserError: names the first tensor that does not fit, its shape and the expected one.
    """
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        reason = _first_difference(expected, shapes)
        raise UserError(f"{path} does not fit {name}: {reason}") from None


def check_numbers(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path
) -> None:
    """Refuse tensors that cannot be weights: integers in place of floats, NaN, infinities.

    Raises:
        UserError: names the first such tensor.
    """
    for key, tensor in tensors.items():
        wanted = expected[key]
        if tensor.is_floating_point() != wanted.is_floating_point():
            raise UserError(f"{path}: {key} is {tensor.dtype}, expected {wanted.dtype}")
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {key} holds numbers that are not finite")


Shapes = Mapping[str, tuple[int, ...]]


def _first_difference(expected: Shapes, shapes: Shapes) -> str:
    for key in (key for key in expected if key in shapes and shapes[key] != expected[key]):
        return f"{key} has the shape {shapes[key]}, expected {expected[key]}"
    for key in (key for key in expected if key not in shapes):
        return f"{key} is missing, expected with the shape {expected[key]}"
    key = next(key for key in shapes if key not in expected)
    return f"{key} of shape {shapes[key]} is not expected"


Fetch = Callable[[str, str, str], None]

IMAGENET = "IMAGENET1K_V1"

AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Auxiliary classifiers of GoogLeNet and Inception v3, for their original training only."""

# DenseNet's files were written by a torch whose modules were named norm.1 instead of norm1.
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..*)$")


def fetch_imagenet(backbone: str, path: Path, fetch: Fetch | None = None) -> str:
    """Fetch the ImageNet weights of a backbone to `path`; return their URL.

    The file is copied from torch's folder of checkpoints, else downloaded. Its SHA-256 has to start
    with the hex digits in torchvision's file name; timm's names have none.

    Raises:
        UserError: the file cannot be downloaded, or has another hash.
    """
    url = published_url(backbone)
    local = local_checkpoint(url)
    name = local.name
    hint = f"put the file at {local}, or set model.weights: none"
    prefix = "" if is_timm(backbone) else name.rsplit("-", 1)[-1].split(".")[0]
    with replacing(path) as temporary:
        if local.exists():
            shutil.copyfile(local, temporary)
        else:
            try:
                (fetch or _download)(url, str(temporary), prefix)
            except (URLError, OSError, RuntimeError) as error:
                reason = f"{url} ({error})"
                raise UserError(f"{name} cannot be fetched from {reason}; {hint}") from None
        digest = sha256(temporary)
        if not digest.startswith(prefix):
            raise UserError(f"{name}: SHA-256 {digest[:12]}… does not start with {prefix}; {hint}")
    return url


def published_url(backbone: str) -> str:
    """Return the address of the ImageNet weights of a backbone, of torchvision or timm.

    Raises:
        UserError: the backbone is unknown, or there are no such weights for it.
    """
    check_backbone(backbone)
    if is_timm(backbone):
        return _timm_url(backbone)
    kinds = get_model_weights(backbone).__members__
    if IMAGENET not in kinds:
        raise UserError(
            f"model.weights: torchvision has no {IMAGENET} weights for {backbone} (only "
            f"{', '.join(kind for kind in kinds if kind != 'DEFAULT')}, trained on other data); "
            f"set model.weights: none, or take another backbone"
        )
    url: str = kinds[IMAGENET].url
    return url


TIMM_IMAGENET = re.compile(r"(?:^|_)(?:in1k|in12k|in21k|in22k)")


def _timm_url(backbone: str) -> str:
    weights = default_weights(backbone)
    if not weights.url or not TIMM_IMAGENET.search(weights.tag):
        instead = f"only {weights.tag}, trained on other data" if weights.url else "none at all"
        raise UserError(
            f"model.weights: timm has no ImageNet weights for {backbone} ({instead}); set "
            f"model.weights: none or the path of a file, or take another backbone"
        )
    return weights.url


def _download(url: str, path: str, prefix: str) -> None:
    download_url_to_file(url, path, hash_prefix=prefix or None)


def load_imagenet(network: Network, backbone: str, path: Path) -> None:
    """Load the file of torchvision or timm into the convolutional part; the head is unchanged.

    Raises:
        UserError: the file does not fit the backbone, or is no file of tensors.
    """
    if is_timm(backbone):
        return _load_timm(network, backbone, path)
    state = read_checkpoint(path)
    for name in list(state):  # in place: its attribute _metadata holds versions
        tensor = state.pop(name)
        if not name.startswith(AUXILIARY):
            state[OLD_DENSENET.sub(r"\1\2", name)] = tensor
    classifier, features = build_classifier(backbone)
    load_fitting(classifier, state, path, backbone)
    network.features.load_state_dict(features.state_dict())


def _load_timm(network: Network, backbone: str, path: Path) -> None:
    maps = next(module for module in network.features.modules() if isinstance(module, TimmMaps))
    try:
        maps.load_state_dict(build_timm(backbone, file=path).state_dict())
    except UnpicklingError:
        raise UserError(f"{path} holds more than tensors, and is not opened") from None
    except (RuntimeError, EOFError, OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not fit {backbone}: {reason}") from None


def load_weights(network: Network, path: Path, name: str, published: str | None = None) -> None:
    """Load a safetensors file into a network: of cxr14, or of the backbone alone.

    Files of cxr14 hold the head too. Files with the names of torchvision or timm fill the
    backbone; their classifier is left out, and the head is unchanged.

    Args:
        network: changed in place.
        path: file that the stage `pretrained` wrote.
        name: value of `model.weights`, for errors.
        published: the same if it is the name of published weights.

    Raises:
        UserError: the file is damaged or does not fit, or its numbers cannot be weights.
    """
    tensors = read_safetensors(path)
    if not tensors or any(key.startswith("head.transition.") for key in tensors):
        return load_project_weights(network, path, name)
    classifier, features = build_classifier(network.backbone, published)
    saved, expected = classifier.state_dict(), _shapes_within(classifier, features)
    # Files of torch before 0.4.1 lack these counts, which inference does not use.
    for key in [key for key in expected if key.endswith("num_batches_tracked")]:
        if key not in tensors:
            del expected[key]
    parts = {key.split(".")[0] for key in expected}  # without classifiers of any name
    chosen = {key: tensor for key, tensor in tensors.items() if key.split(".")[0] in parts}
    found = {key: tuple(tensor.shape) for key, tensor in chosen.items()}
    file = Path(f"model.weights: {name}")
    if found != expected:
        reason = _first_difference(expected, found)
        raise UserError(f"{file} does not fit {network.backbone}: {reason}")
    check_numbers(chosen, saved, file)
    classifier.load_state_dict(chosen, strict=False)
    network.features.load_state_dict(features.state_dict())


def _shapes_within(classifier: nn.Module, features: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights that belong to the features, by name in the classifier."""
    inside = {id(tensor) for tensor in chain(features.parameters(), features.buffers())}
    held = dict(chain(classifier.named_parameters(), classifier.named_buffers()))
    names = [name for name in classifier.state_dict() if id(held[name]) in inside]
    return {name: tuple(held[name].shape) for name in names}


def write_initial_weights(weights: str, backbone: str, folder: Path) -> dict[str, Any]:
    """Write the file of initial weights, if there is one; return the facts on it.

    Args:
        weights: value of `model.weights`.
        backbone: name of the backbone.
        folder: data/pretrained/BACKBONE.

    Raises:
        UserError: the file cannot be had, or is none of weights.
    """
    file, own = folder / "weights.safetensors", project_root() / weights
    if weights == "none":
        return {}
    if weights == "imagenet":
        path = file.with_suffix(Path(published_url(backbone)).suffix)
        return {"url": fetch_imagenet(backbone, path)}
    if weights in PUBLISHED and not own.is_file():
        return {"initial_weights": convert_published(weights, backbone, file)}
    return {"sha256": copy_project_weights(own, file)}


def load_project_weights(network: Network, path: Path, name: str) -> None:
    """Load a safetensors file that cxr14 wrote for the same backbone and head.

    Args:
        network: changed in place.
        path: copy of the file by the stage `pretrained`.
        name: path of the user's file in `model.weights`.

    Raises:
        UserError: the file is damaged or does not fit, or its numbers cannot be weights.
    """
    tensors, file = read_safetensors(path), Path(f"model.weights: {name}")
    load_fitting(network, tensors, file, network.backbone)
    check_numbers(tensors, network.state_dict(), file)


def copy_project_weights(source: Path, path: Path) -> str:
    """Copy a safetensors file to `path`, or write the tensors of a .pth or .pt file there.

    Returns:
        The SHA-256 of `source`.

    Raises:
        UserError: it does not exist or is no such file.
    """
    if source.suffix not in SUFFIXES or not source.exists():
        raise UserError(
            f"model.weights: {source} is no file of weights; allowed: none, imagenet, or the path "
            f"of a .safetensors, .pth or .pt file"
        )
    if source.suffix != ".safetensors":
        write_tensors(read_weights(source), path)
        return sha256(source)
    try:
        with safe_open(source, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(f"model.weights: {source} is no safetensors file ({error})") from None
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)
    return sha256(path)


# Data-dependent initialization (LSUV) for networks without normalization layers: Krähenbühl et al.
# 2016, "Data-dependent Initializations of Convolutional Neural Networks" (arXiv 1511.06856),
# section 3.1. Without it the loss of VGG-16 stayed constant for some 250 steps.

NORMALISING = (_NormBase, nn.LayerNorm, nn.GroupNorm)


def has_normalization(network: nn.Module) -> bool:
    """Tell whether any layer of a network normalizes its maps."""
    return any(isinstance(module, NORMALISING) for module in network.modules())


@torch.no_grad()
def initialize_lsuv(features: nn.Module, images: Tensor) -> None:
    """Scale and shift the convolutions of a network, in place, from the first to the last.

    Each channel then has mean 0 and variance 1 over the images.

    Args:
        features: convolutional part, freshly initialized; every convolution has a bias.
        images: normalized, float (B, 3, s, s); some dozens of the train split.
    """

    def standardize_channels(layer: nn.Conv2d, _: Any, maps: Tensor) -> Tensor:
        assert layer.bias is not None
        mean, std = maps.mean(dim=(0, 2, 3)), maps.std(dim=(0, 2, 3))
        std = torch.where(std > 1e-6, std, 1.0)  # a constant channel is unchanged
        layer.weight.div_(std.view(-1, 1, 1, 1))
        layer.bias.sub_(mean).div_(std)
        return (maps - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)

    hook: Callable[..., Any] = standardize_channels
    convolutions = [layer for layer in features.modules() if isinstance(layer, nn.Conv2d)]
    handles = [layer.register_forward_hook(hook) for layer in convolutions]
    was_training = features.training
    try:
        features.eval()(images)
    finally:
        features.train(was_training)
        for handle in handles:
            handle.remove()
