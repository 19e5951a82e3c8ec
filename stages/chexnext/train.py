"""Train one network of the second pipeline: a member on the labels as they are, or a student.

Members see train, with `members.folds` above 1 without the fold that they leave out. Students see
the new labels of train; their best epoch is chosen by the old labels of val, as everything else is.
Killed, a training goes on from its last checkpoint with the same command, and ends with the same
weights.

    python -m stages.chexnext.train --group members --backbone alexnet --seed 0

Reads data/cache, data/records, data/split, data/pretrained/B, chexnext/data, params.yaml (model,
data.findings), chexnext/params.yaml (loss, train, members).
Writes chexnext/models/GROUP/B-SEED, chexnext/plots/train/GROUP/B-SEED.csv,
chexnext/metrics/train/GROUP/B-SEED.json.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cxr14.chexnext.paths import LABELS, RELABELLED, ROOT, Group, Place, split_of_fold
from cxr14.config.blocks import read_findings, read_model
from cxr14.config.chexnext import read_chexnext_loss, read_members, read_recipe
from stages import CHECKPOINT_SECONDS, Backbone, CheckpointSeconds, check_all_params, run


def tables_of(group: Group, seed: int) -> tuple[Path, Path]:
    """Return the labels and the split that a network learns by."""
    if group is Group.MEMBERS:
        return LABELS, split_of_fold(read_members().fold_of(seed))
    return RELABELLED / "students.parquet", Path("data/split/split.parquet")


def main(
    group: Annotated[Group, typer.Option()],
    backbone: Backbone,
    seed: Annotated[int, typer.Option()],
    checkpoint_seconds: CheckpointSeconds = CHECKPOINT_SECONDS,
) -> None:
    """Train, save, report."""
    check_all_params(chexnext=True)
    recipe, loss, place = (
        read_recipe(backbone, seed),
        read_chexnext_loss(),
        Place(group, backbone, seed),
    )
    labels, split = tables_of(group, seed)
    from cxr14.tracking.runs import start_run  # torch and MLflow, after the cheap checks
    from cxr14.training.distributed import run_training
    from cxr14.training.inputs import Tables
    from cxr14.training.train import Job, run_job

    job = Job(
        backbone,
        place.model,
        name=f"{group}/{place.name}",
        title=place.title,
        classes=read_findings(),
        tables=Tables(labels, split),
        results=ROOT,
    )
    blocks = {
        "model": read_model().model_dump(),
        "loss": loss.model_dump(),
        "train": recipe.model_dump(exclude={"backbones", "overrides"}),
    }
    start = partial(start_run, "stages/chexnext/train.py")
    work = partial(run_job, job, blocks, start, checkpoint_seconds)
    own = [f"--group={group}", f"--backbone={backbone}", f"--seed={seed}"]
    own.append(f"--checkpoint-seconds={checkpoint_seconds}")
    run_training(place.title, recipe.processes, "stages.chexnext.train", own, work)


if __name__ == "__main__":
    run(main, __doc__)
