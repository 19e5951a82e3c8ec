"""A trained model on disk: weights.safetensors and model.json, nothing pickled."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from cxr14.files import read_json, sha256, write_bytes, write_json
from cxr14.findings import CLASSES
from cxr14.models.inputs import MEAN, STD
from cxr14.models.network import Network

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
FORMAT = 1


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
        "normalisation": {"mean": list(MEAN), "std": list(STD)},
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
        ValueError: the format or the class names are not ours, or the weights do not fit.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).exists():
        raise FileNotFoundError(
            f"no model in {folder}; make it with `dvc repro train@{folder.name}`"
        )
    description: dict[str, Any] = read_json(folder / DESCRIPTION)
    classes = description.get("classes") or []
    ours = [name for name in CLASSES if name in classes]
    if description.get("format") != FORMAT or not classes or classes != ours:
        raise ValueError(
            f"{folder / DESCRIPTION}: not of format {FORMAT} with classes among our "
            f"{len(CLASSES)}, in their order"
        )
    if sha256(folder / WEIGHTS) != description.get("weights_sha256"):
        raise ValueError(f"{folder / WEIGHTS} is not the file that {DESCRIPTION} describes")
    with torch.random.fork_rng(devices=[]):  # the initial weights, to be replaced
        network = Network(description["backbone"], **description["head"], classes=classes)
    weights = load_file(folder / WEIGHTS)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ValueError(
            f"{folder / WEIGHTS} does not fit {description['backbone']}: {first}"
        ) from None
    return network.eval(), description


def state_copy(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of the weights that later training steps do not change."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
