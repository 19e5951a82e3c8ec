"""Bring a backbone's starting weights into the graph, as the input that they are.

`model.weights: imagenet` fetches torchvision's weights and checks their hash, a path copies a file
of your own, and `none` leaves a note that training starts from random weights.

Reads:  params.yaml (model.weights)

Writes: data/pretrained/BACKBONE
"""

from pathlib import Path
from typing import Annotated

import typer

from cxr14.files import project_root, write_json
from cxr14.params import model
from stages import run


def main(backbone: Annotated[str, typer.Option(help="Name in train.backbones.")]) -> None:
    """Write the folder of starting weights."""
    weights = model.read().weights
    folder = Path("data/pretrained") / backbone
    facts: dict[str, str] = {"weights": weights}
    if weights == "imagenet":
        from cxr14.models.pretrained import fetch_imagenet  # torch: only where it is needed

        facts["url"] = fetch_imagenet(backbone, folder / "weights.pth")
    elif weights != "none":
        from cxr14.models.pretrained import copy_own

        facts["sha256"] = copy_own(project_root() / weights, folder / "weights.safetensors")
    write_json(folder / "source.json", facts)
    typer.echo(f"{backbone}: starting weights {weights}")


if __name__ == "__main__":
    run(main, __doc__)
