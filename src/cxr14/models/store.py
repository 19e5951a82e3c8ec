"""A trained model on disk: weights.safetensors and model.json, nothing pickled."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from cxr14.errors import UserError
from cxr14.files import sha256, write_bytes, write_json
from cxr14.models.description import FORMAT, normalisation, read_description
from cxr14.models.fitting import load_fitting
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
        FileNotFoundError: there is no model; `dvc repro train` makes it.
        UserError: model.json lacks something, or the weights are others, or do not fit.
    """
    folder = Path(folder)
    for path in (folder / DESCRIPTION, folder / WEIGHTS):
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing; make it: `dvc repro train@{folder.name}`")
    description = read_description(folder / DESCRIPTION)
    if sha256(folder / WEIGHTS) != description["weights_sha256"]:
        raise UserError(f"{folder / WEIGHTS} is not the file that {DESCRIPTION} describes")
    backbone: str = description["backbone"]
    with torch.random.fork_rng(devices=[]):  # the initial weights, to be replaced
        network = Network(backbone, **description["head"], classes=description["classes"])
    load_fitting(network, load_file(folder / WEIGHTS), folder / WEIGHTS, backbone)
    return network.eval(), description
