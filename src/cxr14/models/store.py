"""A trained model on disk: weights.safetensors and model.json, nothing pickled."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from cxr14.files import check_file, sha256, unusable, write_bytes, write_json
from cxr14.models.backbones import check_backbone
from cxr14.models.description import FORMAT, normalisation, read_description
from cxr14.models.fitting import load_fitting, read_safetensors
from cxr14.models.network import Network

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"


def save_model(folder: str | Path, network: Network, description: dict[str, Any]) -> None:
    """Write the weights, then model.json, which names their hash.

    Args:
        folder: models/<backbone>.
        network: saved in fp32, on the CPU.
        description: backbone, input_size, head, and what else is known of the training.
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
        UserError: there is no model, model.json lacks something or names an unknown
            backbone, or the weights are others, or
            do not fit.
    """
    folder = Path(folder)
    description = read_description(folder / DESCRIPTION)
    check_weights(folder, description)
    backbone: str = description["backbone"]
    check_backbone(backbone, f"{folder / DESCRIPTION}: backbone")
    with torch.random.fork_rng(devices=[]):  # the initial weights, to be replaced
        network = Network(backbone, **description["head"], classes=description["classes"])
    load_fitting(network, read_safetensors(folder / WEIGHTS), folder / WEIGHTS, backbone)
    return network.eval(), description


def check_weights(folder: Path, description: dict[str, Any]) -> None:
    """Raise UserError unless the weights are those that model.json names."""
    weights = folder / WEIGHTS
    check_file(weights)
    if sha256(weights) != description["weights_sha256"]:
        raise unusable(weights, f"is not the file that {DESCRIPTION} describes (SHA-256 differs)")
