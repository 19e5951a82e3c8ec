"""Train one backbone, and keep the epoch with the best macro AUROC on validation.

Train and validation lie on the device as uint8 images, or are streamed to it if they do not fit,
and are augmented there. The run is recorded in
MLflow while it goes; the files below are what counts. Killed, it goes on from its last checkpoint
when the same command runs again, and ends with the same weights.

Reads:  data/cache, data/records, data/split, data/pretrained/BACKBONE, params.yaml (model, loss,
train, data.findings), .scratch/train/BACKBONE.pt (a checkpoint, if it is of this very run)

Writes: models/BACKBONE (weights.safetensors, model.json), plots/train/BACKBONE.csv,
metrics/train/BACKBONE.json
"""

from pathlib import Path
from typing import Annotated

import typer

from cxr14.params import findings, loss, model, train
from stages import run


def main(
    backbone: Annotated[str, typer.Option(help="Name in train.backbones.")],
    checkpoint_seconds: Annotated[float, typer.Option(help="Between two checkpoints.")] = 60.0,
) -> None:
    """Train, save, report."""
    params = train.read()
    recipe = params.for_backbone(backbone)
    model_params, loss_params = model.read(), loss.read()
    from cxr14.models.backbones import check_backbone  # torch, after the cheap checks
    from cxr14.tracking.runs import start_run
    from cxr14.training.ending import one_voice
    from cxr14.training.interruption import InterruptedTrainingError
    from cxr14.training.job import run_job
    from cxr14.training.launcher import is_launched, launch

    for name in params.overrides:  # a misspelt one would never be read
        check_backbone(name, "train.overrides")
    if recipe.processes > 1 and not is_launched():
        seconds = f"--checkpoint-seconds={checkpoint_seconds}"
        launch(recipe.processes, "stages.train", f"--backbone={backbone}", seconds)
    try:
        with one_voice():
            score = run_job(
                backbone,
                Path("models") / backbone,
                model_params.model_dump(),
                loss_params.model_dump(),
                recipe.model_dump(exclude={"backbones", "overrides"}),
                start_run,
                findings.read(),
                checkpoint_seconds,
            )
    except InterruptedTrainingError as interruption:
        typer.secho(f"{interruption}", fg="yellow", err=True)
        raise typer.Exit(130) from None
    if score is not None:  # the first process has it
        typer.echo(f"{backbone}: best validation macro AUROC {score:.3f}")


if __name__ == "__main__":
    run(main, __doc__)
