"""Networks of the package timm as backbones: `timm:NAME`, with maps of images (B, C, h, w).

timm is an optional extra and is imported only for such a name. ``forward_features`` of its networks
gives maps, maps with the channels last (Swin and others), or the tokens of a transformer. All three
become maps with the channels first: each patch token is a pixel, and prefix tokens (class,
registers) are dropped.
"""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from cxr14.errors import UserError, quote
from cxr14.labels import TIMM

PACKAGE = "timm>=1.0.20"


def is_timm(name: str) -> bool:
    """Whether the name of a backbone is one of timm's."""
    return name.startswith(TIMM)


@cache
def _timm() -> Any:
    return import_module("timm")


def load_timm(name: str) -> Any:
    """Import timm for a backbone.

    Raises:
        UserError: it is not installed.
    """
    try:
        return _timm()
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise UserError(f"{name} needs `pip install '{PACKAGE}'`, the extra `timm`") from None


def backbone_version(name: str) -> dict[str, str]:
    """Return the version of timm for its networks, as their code is not ours; else nothing."""
    return {"timm": str(load_timm(name).__version__)} if is_timm(name) else {}


def check_timm_name(name: str, key: str) -> None:
    """Refuse names that timm does not list.

    Args:
        name: timm:NAME.
        key: key or file of the name, for the error.

    Raises:
        UserError: the name is unknown, or timm is not installed.
    """
    known = load_timm(f"{key}: {name}").list_models()
    architecture = name.removeprefix(TIMM)
    if architecture not in known:
        near = get_close_matches(architecture[:64], known, cutoff=0.5) or ["resnet18"]
        listed = ", ".join(f"{TIMM}{other}" for other in near)
        raise UserError(
            f"{key}: unknown backbone {quote(name)}; near it: {listed}; allowed: {TIMM} and a "
            f"name in timm.list_models()"
        )


class TimmWeights(NamedTuple):
    """timm's default weights of an architecture, and the images that they expect."""

    tag: str  # recipe and data set of the training; empty if there are no weights
    url: str
    license: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int  # pixels per side of the images in their training


def default_weights(name: str) -> TimmWeights:
    """Return what timm knows of the default weights of a backbone; nothing is fetched."""
    config = load_timm(name).get_pretrained_cfg(name.removeprefix(TIMM))
    if config is None:  # an architecture without an entry
        return TimmWeights("", "", "", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224)
    file = config.hf_hub_filename or "model.safetensors"
    hub = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{file}"
    return TimmWeights(
        config.tag or "",
        hub if config.hf_hub_id else config.url or "",
        config.license or "unknown",
        tuple(config.mean),
        tuple(config.std),
        config.input_size[-1],
    )


class FeatureMaps(nn.Module):
    """Output of ``forward_features`` as maps with the channels first; it has no weights.

    Args:
        channels: of the maps.
        prefix: number of tokens before those of the patches; None if timm does not say, as for
            networks with one class token or none.
    """

    def __init__(self, channels: int, prefix: int | None) -> None:
        super().__init__()
        self.channels, self.prefix = channels, prefix

    def forward(self, outputs: Tensor) -> Tensor:
        """Return maps (B, C, h, w) of maps (B, C, h, w) or (B, h, w, C), or tokens (B, N, C).

        Raises:
            RuntimeError: the outputs are neither, or the tokens are no square grid.
        """
        if not isinstance(outputs, Tensor) or outputs.ndim not in (3, 4):
            raise RuntimeError("no maps")
        if outputs.ndim == 4:
            first = outputs.shape[1] == self.channels
            return outputs if first else outputs.permute(0, 3, 1, 2).contiguous()
        batch, count, channels = outputs.shape
        prefix = int(not _is_square(count)) if self.prefix is None else self.prefix
        side = isqrt(count - prefix)
        if side < 2 or not _is_square(count - prefix):
            raise RuntimeError(f"{count - prefix} tokens, which are no square grid")
        return outputs[:, prefix:].transpose(1, 2).reshape(batch, channels, side, side)


def _is_square(count: int) -> bool:
    return isqrt(count) ** 2 == count


class TimmMaps(nn.Module):
    """timm's network without its head.

    Attributes:
        network: of timm; its names of weights are kept.
        size: pixels per side of the images of its original training.
    """

    def __init__(self, network: Any, size: int) -> None:
        super().__init__()
        self.network = network
        self.size = size
        prefix = getattr(network, "num_prefix_tokens", None)
        self.to_maps = FeatureMaps(network.num_features, prefix)

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps (B, C, h, w) of normalized images (B, 3, s, s)."""
        maps: Tensor = self.to_maps(self.network.forward_features(images))
        return maps

    def layers(self, run: Callable[[nn.Module], object]) -> list[nn.Module]:
        """Return modules that give the maps one after the other; only itself if there are none.

        Args:
            run: makes one forward pass of a module.
        """
        chain = _Chain()
        handles = [
            self.register_forward_pre_hook(chain.start),
            self.to_maps.register_forward_pre_hook(chain.enter),
        ]
        for module in _outermost(self.network):
            handles.append(module.register_forward_pre_hook(chain.enter, with_kwargs=True))
            handles.append(module.register_forward_hook(chain.leave))
        try:
            run(self)
        finally:
            for handle in handles:
                handle.remove()
        return [*chain.modules, self.to_maps] if chain.modules and chain.unbroken else [self]


class _Chain:
    """Observer of one forward pass: does each module get the output of the one before?

    The modules of many networks follow one another (stem, stages, norm), but the code of others
    does more in between. The tensor has to be the same, and unchanged by operations in place.
    """

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.unbroken = True
        self._last: tuple[Tensor, int] | None = None

    def start(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Note the images of a pass; an earlier pass was broken off."""
        self.modules, self.unbroken = [], True
        self._last = inputs[0], inputs[0]._version

    def enter(self, _: nn.Module, inputs: tuple[Any, ...], options: Any = None) -> None:
        """Compare the input of a module with the last output."""
        assert self._last is not None
        tensor, version = self._last
        same = len(inputs) == 1 and inputs[0] is tensor and tensor._version == version
        self.unbroken = self.unbroken and same and not options

    def leave(self, module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        """Note the output of a module."""
        if module in self.modules or not isinstance(output, Tensor):
            self.unbroken = False
            return
        self.modules.append(module)
        self._last = output, output._version


def _outermost(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the children of a network, and those of its lists, which are never called."""
    for child in network.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _outermost(child)
        else:
            yield child


# Arguments that let a family take images of any size: Swin 2, Swin, transformers with position
# embeddings. The first that its constructor knows are used.
ANY_SIZE: tuple[Mapping[str, Any], ...] = (
    {"dynamic_img_size": True, "dynamic_mask": True, "strict_img_size": False},
    {"dynamic_img_size": True},
    {},
)


def build_timm(
    name: str, options: Mapping[str, Any] | None = None, file: Path | None = None
) -> TimmMaps:
    """Return a network of timm without its head, freshly initialized or from a file.

    Args:
        name: timm:NAME.
        options: further arguments of timm's constructor, such as output_stride.
        file: timm's weights of the network, read by timm's own loader; it renames tensors, and
            resizes those that depend on the size of the images.

    Raises:
        RuntimeError: the constructor does not allow the options.
    """
    loaded = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}} if file else {}
    network = _create(name, {**(options or {}), **loaded})
    if hasattr(network, "prune_intermediate_layers"):  # also what lies between maps and head
        network.prune_intermediate_layers(1, prune_norm=False, prune_head=True)
    elif hasattr(network, "reset_classifier"):
        network.reset_classifier(0)
    return TimmMaps(network, default_weights(name).size)


def _create(name: str, options: Mapping[str, Any]) -> Any:
    create, architecture = load_timm(name).create_model, name.removeprefix(TIMM)
    reason = ""
    for arguments in ANY_SIZE:
        try:
            return create(architecture, **arguments, **options)
        except (TypeError, NotImplementedError, AssertionError) as error:  # unknown arguments
            reason = str(error)
    raise RuntimeError(reason)
