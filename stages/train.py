"""Train one backbone, and keep the epoch with the best macro AUROC on validation.

Train and validation lie on the device as uint8 images, or are streamed to it if they do not fit,
and are augmented there. The run is recorded in
MLflow while it goes; the files below are what counts. Killed, it goes on from its last checkpoint
when the same command runs again, and ends with the same weights.

Reads:  data/cache, data/records, data/split, data/pretrained/BACKBONE, params.yaml (model, loss,
train, data.findings), .scratch/train (a checkpoint, if there is one of this very run)

Writes: models/BACKBONE (weights.safetensors, model.json), plots/train/BACKBONE.csv,
metrics/train/BACKBONE.json
"""

from functools import partial
from pathlib import Path

from cxr14.config.blocks import read_findings, read_loss, read_model, read_train
from stages import CHECKPOINT_SECONDS, Backbone, CheckpointSeconds, check_all_params, run


def main(
    backbone: Backbone,
    checkpoint_seconds: CheckpointSeconds = CHECKPOINT_SECONDS,
) -> None:
    """Train, save, report."""
    check_all_params()
    params = read_train()
    recipe = params.for_backbone(backbone)
    model_params, loss_params = read_model(), read_loss()
    from cxr14.tracking.runs import start_run  # torch and MLflow, after the cheap checks
    from cxr14.training.distributed import run_training
    from cxr14.training.train import Job, run_job

    folder = Path("models") / backbone
    job = Job(backbone, folder, name=backbone, title=backbone, classes=read_findings())
    blocks = {
        "model": model_params.model_dump(),
        "loss": loss_params.model_dump(),
        "train": recipe.model_dump(exclude={"backbones", "overrides"}),
    }
    start = partial(start_run, "stages/train.py")
    work = partial(run_job, job, blocks, start, checkpoint_seconds)
    arguments = [f"--backbone={backbone}", f"--checkpoint-seconds={checkpoint_seconds}"]
    run_training(backbone, recipe.processes, "stages.train", arguments, work)


if __name__ == "__main__":
    run(main, __doc__)
