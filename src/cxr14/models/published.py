"""Published weights of networks that were trained on chest radiographs, by name.

None is downloaded: the file has to be put where torch keeps its checkpoints. An entry says how the
file is read, which images its network expects, its licence, and whether the training has used the
images of NIH's official test list. The last is what their authors write, not something that a file
could show.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from torch import Tensor
from torch.hub import get_dir

from cxr14.errors import UserError, quote
from cxr14.io import sha256
from cxr14.models.weight_files import read_pickled_network, read_weights, write_tensors

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Published:
    """One published file of weights.

    Attributes:
        backbone: name of the backbone that the file fits.
        url: address of the file.
        megabytes: approximate size, for the error.
        licence: of the weights.
        nih_test_images: whether the training has used images of NIH's official test list.
        mean: of the grey values in 0..1, per channel of the images that the network takes.
        std: the same.
        convert: from the names of the file to those of the backbone; the head is left out.
        options: further arguments of the backbone's constructor.
        sha256: of the file, if its authors or an index published it; None: any file is taken, and
            its hash is recorded.
    """

    backbone: str
    url: str
    megabytes: int
    licence: str
    nih_test_images: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    convert: Callable[[Tensors], dict[str, Tensor]]
    options: Mapping[str, Any] = field(default_factory=dict)
    sha256: str | None = None

    @property
    def local(self) -> Path:
        """Where the file has to be."""
        return local_checkpoint(self.url)


def local_checkpoint(url: str) -> Path:
    """Return the path in torch's folder of checkpoints for the file of an address.

    Its name is that in the address; ``model.safetensors``, as each repository of Hugging Face has
    one, gets the name of its repository in front.
    """
    *_, repository, _, _, name = url.split("/")
    unique = f"{repository}-{name}" if name == "model.safetensors" else name
    return Path(get_dir()) / "checkpoints" / unique


def torchxrayvision_names(tensors: Tensors) -> dict[str, Tensor]:
    """Return the tensors under the names of torchvision's DenseNet.

    Without the classifier (18 findings) and the thresholds that newer versions of the package keep
    beside the weights.
    """
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    return {
        old.sub(r"\1\2", name.removeprefix("module.")): tensor
        for name, tensor in tensors.items()
        if name.removeprefix("module.").startswith("features.")
    }


EVA_X_NAMES = (
    ("mlp.ffn_ln.", "mlp.norm."),
    ("attn.inner_attn_ln.", "attn.norm."),
    ("mlp.w12.", "mlp.fc1."),
    ("mlp.w1.", "mlp.fc1_g."),
    ("mlp.w2.", "mlp.fc1_x."),
    ("mlp.w3.", "mlp.fc2."),
)
"""Parts of names, in EVA-02's files and in timm."""

SEPARATE = "blocks.0.attn.q_proj.weight"
"""Present if query, key and value are three matrices, as in the base size."""

BIASES = (("attn.q_bias", "attn.q_proj.bias"), ("attn.v_bias", "attn.v_proj.bias"))
"""Further names, of three matrices."""


def eva_x_names(tensors: Tensors) -> dict[str, Tensor]:
    """Return the tensors under the names of timm's ``Eva``, as EVA-X's own loader maps them.

    The files are of masked image modelling: mask token and decoder (``lm_head``) are left out, and
    the rotary embedding, which is fixed. The final normalization stays before the tokens become
    maps; EVA-X's loader moves it behind its pooling.
    """
    renamed = {}
    for name, tensor in tensors.items():
        if "rope" in name or name.startswith(("mask_token", "lm_head.", "head.")):
            continue
        for theirs, ours in (*EVA_X_NAMES, *(BIASES if SEPARATE in tensors else ())):
            name = name.replace(theirs, ours)
        renamed[name] = tensor
    return renamed


DINOV2_NAMES = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"^layernorm\.", "norm."),
)
"""Patterns of names in files of transformers' ``Dinov2Model``, and their replacements in timm."""

PROJECTION = re.compile(r"^encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(\w+)$")


def dinov2_names(tensors: Tensors) -> dict[str, Tensor]:
    """Return the tensors of transformers' ``Dinov2Model`` under the names of timm's ViT.

    Query, key and value are one matrix in timm, in this order.
    """
    renamed: dict[str, Tensor] = {}
    projections: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if match := PROJECTION.match(name):
            layer, part, kind = match.groups()
            projections.setdefault(f"blocks.{layer}.attn.qkv.{kind}", {})[part] = tensor
        elif name != "embeddings.mask_token":
            for theirs, ours in DINOV2_NAMES:
                name = re.sub(theirs, ours, name)
            renamed[name] = tensor
    order = ("query", "key", "value")
    joined = {
        name: torch.cat([parts[part] for part in order if part in parts])
        for name, parts in projections.items()
    }
    return renamed | joined


NOT_SEEN: Final = "no"
UNLABELLED: Final = "yes, without labels"

XRV = "https://github.com/mlmed/torchxrayvision/releases/download/v1"
TRAINING = "densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt"


def _torchxrayvision(data: str, nih_test_images: str) -> Published:
    """One channel in −1024..1024, as ``torchxrayvision.datasets.normalize`` makes it."""
    address = f"{XRV}/{data}-{TRAINING}"
    convert, scale = torchxrayvision_names, (0.5 / 1024,)
    return Published(
        "densenet121", address, 28, "Apache-2.0", nih_test_images, (0.5,), scale, convert
    )


def _eva_x(size: str, megabytes: int) -> Published:
    """Patches of 16 px instead of EVA-02's 14; statistics of its classification scripts."""
    return Published(
        f"timm:eva02_{size}_patch14_224",
        f"https://huggingface.co/MapleF/eva_x/resolve/main/eva_x_{size}_patch16_merged520k_mim.pt",
        megabytes,
        "MIT",
        NOT_SEEN,
        (0.49185243,) * 3,
        (0.28509309,) * 3,
        eva_x_names,
        {"patch_size": 16, "ref_feat_shape": (14, 14), "use_fc_norm": False},
    )


PUBLISHED: Final[Mapping[str, Published]] = {
    "densenet121-res224-all": _torchxrayvision(
        "nih-pc-chex-mimic_ch-google-openi-kaggle", "yes, with labels (a random split)"
    ),
    "densenet121-res224-nih": _torchxrayvision("nih", "yes, with labels (a random split)"),
    "densenet121-res224-pc": _torchxrayvision("pc", NOT_SEEN),
    "densenet121-res224-chex": _torchxrayvision("chex", NOT_SEEN),
    "densenet121-res224-mimic_nb": _torchxrayvision("mimic_nb", NOT_SEEN),
    "densenet121-res224-mimic_ch": _torchxrayvision("mimic_ch", NOT_SEEN),
    "densenet121-res224-rsna": _torchxrayvision(
        "kaggle", "yes, some, with RSNA's labels (its images are NIH's)"
    ),
    "eva-x-tiny": _eva_x("tiny", 25),
    "eva-x-small": _eva_x("small", 90),
    "eva-x-base": _eva_x("base", 350),
    "rad-dino": Published(
        "timm:vit_base_patch14_dinov2",
        "https://huggingface.co/microsoft/rad-dino/resolve/main/model.safetensors",
        346,
        "MIT (MSRLA in its first version)",
        UNLABELLED,
        (0.5307,) * 3,
        (0.2583,) * 3,
        dinov2_names,
    ),
}
"""By the name in `model.weights`. For torchxrayvision: the package's own names."""


def published(name: str) -> Published:
    """Return the entry of a name.

    Raises:
        UserError: the name is unknown.
    """
    if name not in PUBLISHED:
        raise UserError(f"unknown published weights {quote(name)}; known: {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def check_published(name: str, backbone: str) -> Path:
    """Return the path of the file of published weights.

    Raises:
        UserError: the weights are of another backbone, the file is missing, or it has another hash
            than the published one.
    """
    entry = published(name)
    if backbone != entry.backbone:
        raise UserError(
            f"model.weights: {name} fits {entry.backbone} only, not {backbone}; set "
            f"train.backbones to it, or other weights"
        )
    if not entry.local.is_file():
        raise UserError(
            f"model.weights: {name} is not downloaded automatically; fetch {entry.url} (about "
            f"{entry.megabytes} MB, licence {entry.licence}) and put it at {entry.local}"
        )
    if entry.sha256 and (digest := sha256(entry.local)) != entry.sha256:
        raise UserError(
            f"model.weights: {entry.local} has the SHA-256 {digest[:12]}…, expected "
            f"{entry.sha256[:12]}…; fetch {entry.url} again"
        )
    return entry.local


def convert_published(name: str, backbone: str, path: Path) -> dict[str, str]:
    """Write the tensors of published weights to `path`, named as in the backbone.

    Returns:
        name, url, sha256 (of the published file), licence and nih_test_images.

    Raises:
        UserError: the file is missing or cannot be read, or is of another backbone.
    """
    entry, source = PUBLISHED[name], check_published(name, backbone)
    try:
        tensors = read_weights(source)
    except UserError:
        if entry.backbone != "densenet121":
            raise
        tensors = _read_torchxrayvision(source, name)
    write_tensors(entry.convert(tensors), path)
    facts = {"name": name, "url": entry.url, "sha256": sha256(source)}
    return facts | {"licence": entry.licence, "nih_test_images": entry.nih_test_images}


def _read_torchxrayvision(path: Path, name: str) -> dict[str, Tensor]:
    try:
        return read_pickled_network(path)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read as a network of torchxrayvision ({error}); save its weights "
            f'with that package: torch.save(DenseNet(weights="{name}").state_dict(), path), and '
            f"set model.weights to the path"
        ) from None


def note_on(facts: Mapping[str, Any] | None) -> str:
    """Return a sentence on published initial weights, as model.json records them; else ""."""
    if not facts:
        return ""
    return (
        f"initial weights {facts['name']} ({facts['licence']}); trained on NIH's official test "
        f"images: {facts['nih_test_images']}"
    )
