"""Train one backbone, and keep the epoch with the best macro AUROC on validation.

Train and validation images are held on the device as uint8, or streamed to it if they do not fit,
and augmented there. The run is logged to MLflow. An interrupted run resumes from its last
checkpoint with the same command, and ends with the same weights.

Reads:  data/cache, data/records, data/split, data/pretrained/BACKBONE, params.yaml (model, loss,
train, data.findings, numerics), .scratch/train (a checkpoint, if there is one of this run)

Writes: models/BACKBONE (weights.safetensors, model.json), plots/train/BACKBONE.csv,
metrics/train/BACKBONE.json
"""

from functools import partial
from pathlib import Path

from cxr14.config.blocks import (
    read_findings,
    read_loss,
    read_model,
    read_numerics,
    read_train,
)
from stages import CHECKPOINT_SECONDS, Backbone, CheckpointSeconds, check_all_params, run


def main(
    backbone: Backbone,
    checkpoint_seconds: CheckpointSeconds = CHECKPOINT_SECONDS,
) -> None:
    """Train, save, report."""
    check_all_params()
    recipe, model, loss = read_train().for_backbone(backbone), read_model(), read_loss()
    from cxr14.tracking.runs import start_run  # slow imports, after the checks
    from cxr14.training.distributed import run_training
    from cxr14.training.train import Job, run_job

    folder = Path("models") / backbone
    job = Job(
        backbone,
        model,
        loss,
        recipe,
        folder,
        name=backbone,
        title=backbone,
        classes=read_findings(),
        numerics=read_numerics(),
    )
    work = partial(run_job, job, partial(start_run, "stages/train.py"), checkpoint_seconds)
    arguments = [f"--backbone={backbone}", f"--checkpoint-seconds={checkpoint_seconds}"]
    run_training(backbone, recipe.processes, "stages.train", arguments, work)


if __name__ == "__main__":
    run(main, __doc__)
