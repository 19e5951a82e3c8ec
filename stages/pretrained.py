"""Write the initial weights of a backbone to data/pretrained.

`model.weights: imagenet` downloads the weights of torchvision (their hash is checked) or timm, a
path copies your own file, a name of published chest X-ray weights converts a file that you have
downloaded, and `none` records that training starts from random weights. DVC tracks your file by
name only: `--check` compares it with the copy.

Reads:  params.yaml (model.weights)

Writes: data/pretrained/BACKBONE
"""

from pathlib import Path
from typing import Annotated

import typer

from cxr14.config.blocks import read_model
from cxr14.errors import UserError
from cxr14.io import project_root, read_json, sha256, write_json
from cxr14.labels import STUDIED, check_name
from stages import check_all_params, run

PRETRAINED = Path("data/pretrained")


def check(weights: str) -> None:
    """Refuse copies of a changed file."""
    source = project_root() / weights
    if not source.is_file():  # none, imagenet, or a deleted file
        return
    present = sha256(source)
    for path in sorted(PRETRAINED.glob("*/source.json")):
        facts = read_json(path, "weights")
        if facts["weights"] == weights and facts.get("sha256", present) != present:
            raise UserError(
                f"model.weights: {weights} is no longer the file that {path.parent} is a copy of; "
                f"`dvc repro --force pretrained` takes the new one (remove {path.parent} if its "
                f"backbone is no longer trained)"
            )


def main(
    backbone: Annotated[str | None, typer.Option(help="Name in train.backbones.")] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Only check that the copied file is unchanged.")
    ] = False,
) -> None:
    """Write the folder of initial weights."""
    weights = read_model().weights
    if check_only:
        return check(weights)
    if backbone is None:
        raise UserError("--backbone is missing; name one of train.backbones, or use --check")
    check_all_params()
    check_name(backbone)
    if backbone not in STUDIED:
        from cxr14.models.backbones import check_backbone  # torch: only where it is needed

        check_backbone(backbone, "--backbone")
    folder = PRETRAINED / backbone
    facts = {"weights": weights}
    if weights != "none":
        from cxr14.models.pretrained import write_initial_weights

        facts |= write_initial_weights(weights, backbone, folder)
    write_json(folder / "source.json", facts)
    typer.echo(f"{backbone}: initial weights {weights}")


if __name__ == "__main__":
    run(main, __doc__)
