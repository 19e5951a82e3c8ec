"""A trained model on disk: weights.safetensors and model.json, nothing pickled."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors.torch import save

from cxr14.errors import UserError, quote, remedy
from cxr14.io import check_file, read_json, sha256, unusable, write_bytes, write_json
from cxr14.labels import CLASSES
from cxr14.models.backbones import check_backbone
from cxr14.models.inference import MEAN, STD
from cxr14.models.network import Network
from cxr14.models.pretrained import load_fitting
from cxr14.models.published import published
from cxr14.models.weight_files import read_safetensors

FORMAT = 1

LARGEST_INPUT = 1024
"""Maximum side of a cache, and of an input, in pixels."""

WIDEST = 16_384
"""Maximum number of channels of a transition layer."""


class HeadDescription(BaseModel):
    """Arguments of cxr14.models.network.Network apart from the backbone."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    transition_channels: int = Field(ge=1, le=WIDEST)
    pooling: Literal["avg", "max", "lse"]
    lse_r: float = Field(gt=0, le=1e6)
    output_stride: Literal[32, 16]


class InitialWeights(BaseModel):
    """Published weights that a training started from; the network takes their images."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    url: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    licence: str
    nih_test_images: str

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        published(name)
        return name


class ModelDescription(BaseModel):
    """Keys of model.json that are needed to load a model; the file may hold more."""

    model_config = ConfigDict(extra="allow", strict=True)

    format: Literal[1]
    backbone: str
    input_size: int = Field(ge=32, le=LARGEST_INPUT)
    head: HeadDescription
    classes: list[str]
    normalisation: dict[str, list[float]]
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    initial_weights: InitialWeights | None = None

    @field_validator("classes")
    @classmethod
    def _ours(cls, names: list[str]) -> list[str]:
        if not names or names != [name for name in CLASSES if name in names]:
            raise UserError(f"should be some of our {len(CLASSES)} classes, in their order")
        return names

    @field_validator("normalisation")
    @classmethod
    def _imagenet(cls, statistics: dict[str, list[float]]) -> dict[str, list[float]]:
        if statistics != normalisation():
            raise UserError(f"should be {normalisation()}")
        return statistics


def normalisation() -> dict[str, list[float]]:
    """Return the mean and deviation that normalize every image."""
    return {"mean": list(MEAN), "std": list(STD)}


def read_description(path: Path) -> dict[str, Any]:
    """Read model.json.

    Returns:
        The whole content; the keys of ModelDescription are checked.

    Raises:
        UserError: it is missing or no JSON, or lacks a key, or a value is not allowed; names file
            and key.
    """
    return read_described(path, ModelDescription)


def read_described(path: Path, schema: type[BaseModel]) -> dict[str, Any]:
    """Read a JSON object and check the keys of a schema.

    Raises:
        UserError: it is missing or no JSON, or lacks a key, or a value is not allowed; names file
            and key.
    """
    content = read_json(path)
    try:
        schema.model_validate_json(json.dumps(content))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"])) or "the file"
        reason = problem["msg"].removeprefix("Value error, ").lower()
        where = "" if problem["type"] == "missing" else f", not {quote(problem['input'])}"
        raise UserError(f"{path}: {key}: {reason}{where}{remedy(path)}") from None
    return dict(content)


WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"


def save_model(folder: str | Path, network: Network, description: dict[str, Any]) -> None:
    """Write the weights, then model.json with their hash.

    Args:
        folder: models/<backbone>.
        network: saved in fp32, on the CPU.
        description: backbone, input_size, head, and further facts on the training.
    """
    folder = Path(folder)
    weights = {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in network.state_dict().items()
    }
    write_bytes(folder / WEIGHTS, save(weights))
    facts = {
        "format": FORMAT,
        "classes": list(network.classes),
        "normalisation": normalisation(),
        "weights_sha256": sha256(folder / WEIGHTS),
    }
    write_json(folder / DESCRIPTION, dict(sorted((description | facts).items())))


def load_model(folder: str | Path) -> tuple[Network, dict[str, Any]]:
    """Rebuild a trained network from models/<backbone>.

    Returns:
        network: in evaluation mode, fp32, on the CPU.
        description: the content of model.json.

    Raises:
        UserError: a file is missing or damaged, the backbone is unknown, or the weights do not fit
            or have another hash.
    """
    folder = Path(folder)
    description = read_description(folder / DESCRIPTION)
    check_weights(folder, description)
    backbone: str = description["backbone"]
    check_backbone(backbone, f"{folder / DESCRIPTION}: backbone")
    start = description.get("initial_weights") or {"name": None}
    with torch.random.fork_rng(devices=[]):  # the initial weights, to be replaced
        network = Network(
            backbone,
            **description["head"],
            classes=description["classes"],
            weights=start["name"],
        )
    load_fitting(network, read_safetensors(folder / WEIGHTS), folder / WEIGHTS, backbone)
    return network.eval(), description


def check_weights(folder: Path, description: dict[str, Any]) -> None:
    """Raise UserError unless the weights have the hash in model.json."""
    weights = folder / WEIGHTS
    check_file(weights)
    if sha256(weights) != description["weights_sha256"]:
        raise unusable(weights, f"is not the file that {DESCRIPTION} describes (SHA-256 differs)")
