"""Starting weights: torchvision's ImageNet weights, or a file of our own. Never silently random."""

import re
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.hub import download_url_to_file, get_dir
from torchvision.models import get_model_weights

from cxr14.errors import UserError
from cxr14.files import replacing, sha256, unusable
from cxr14.models.backbones import build_classifier, check_backbone
from cxr14.models.fitting import check_numbers, load_fitting, read_safetensors
from cxr14.models.network import Network

Fetch = Callable[[str, str, str], None]

IMAGENET = "IMAGENET1K_V1"

AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Classifiers halfway, of GoogLeNet and Inception v3, that only their own training used."""

# DenseNet's files were written by a torch whose modules were named norm.1 instead of norm1.
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..*)$")


def fetch_imagenet(backbone: str, path: Path, fetch: Fetch | None = None) -> str:
    """Bring torchvision's ImageNet weights of a backbone to `path`; return their URL.

    The copy in torch's own folder of checkpoints is used if there is one; else it is downloaded.
    The first hex digits of the SHA-256 stand in torchvision's file names, and are checked.

    Raises:
        UserError: they cannot be fetched, or the file is not the one that was published.
    """
    url = published_url(backbone)
    name = url.rsplit("/", 1)[-1]
    local = Path(get_dir()) / "checkpoints" / name
    hint = f"put the file at {local}, or set model.weights: none"
    prefix = name.rsplit("-", 1)[-1].split(".")[0]
    with replacing(path) as temporary:
        if local.exists():
            shutil.copyfile(local, temporary)
        else:
            try:
                (fetch or _download)(url, str(temporary), prefix)
            except (URLError, OSError, RuntimeError) as error:
                reason = f"{url} ({error})"
                raise UserError(f"{name} cannot be fetched from {reason}; {hint}") from None
        found = sha256(temporary)
        if not found.startswith(prefix):
            raise UserError(f"{name}: SHA-256 {found[:12]}… does not start with {prefix}; {hint}")
    return url


def published_url(backbone: str) -> str:
    """Return the address of torchvision's ImageNet weights of a backbone.

    Raises:
        UserError: torchvision does not know the backbone, or has no such weights of it.
    """
    check_backbone(backbone)
    kinds = get_model_weights(backbone).__members__
    if IMAGENET not in kinds:
        raise UserError(
            f"model.weights: torchvision has no {IMAGENET} weights for {backbone} (only "
            f"{', '.join(kind for kind in kinds if kind != 'DEFAULT')}, trained on other data); "
            f"set model.weights: none, or take another backbone"
        )
    url: str = kinds[IMAGENET].url
    return url


def _download(url: str, path: str, prefix: str) -> None:
    download_url_to_file(url, path, hash_prefix=prefix)


def load_imagenet(network: Network, backbone: str, path: Path) -> None:
    """Load torchvision's file into the convolutional part; the head stays as it is.

    Raises:
        UserError: the file does not fit the backbone, or holds code.
    """
    try:
        state: OrderedDict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise UserError(f"{path} holds more than tensors, and is not opened") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:  # truncated, no zip
        raise unusable(path, f"is no file of weights ({type(error).__name__})") from None
    if not isinstance(state, dict):
        raise unusable(path, "is no file of weights")
    for name in list(state):  # in place: the versions that torchvision looks for hang on it
        tensor = state.pop(name)
        if not name.startswith(AUXILIARY):
            state[OLD_DENSENET.sub(r"\1\2", name)] = tensor
    classifier, features = build_classifier(backbone)
    load_fitting(classifier, state, path, backbone)
    network.features.load_state_dict(features.state_dict())


def load_own(network: Network, path: Path, name: str) -> None:
    """Load a safetensors file that cxr14 wrote for the same backbone and head.

    Args:
        network: changed in place.
        path: of the copy that the stage `pretrained` made.
        name: of the user's file, from `model.weights`.

    Raises:
        UserError: the file is broken or does not fit, or its numbers cannot be weights.
    """
    tensors, file = read_safetensors(path), Path(f"model.weights: {name}")
    load_fitting(network, tensors, file, network.backbone)
    check_numbers(network, tensors, file)


def copy_own(source: Path, path: Path) -> str:
    """Copy a safetensors file to `path`; return its SHA-256.

    Raises:
        UserError: it does not exist or is no safetensors file.
    """
    if source.suffix != ".safetensors" or not source.exists():
        raise UserError(
            f"model.weights: {source} is no safetensors file; allowed: none, imagenet, or the path "
            f"of a .safetensors file"
        )
    try:
        with safe_open(source, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(f"model.weights: {source} is no safetensors file ({error})") from None
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)
    return sha256(path)
