"""Train one network of the second pipeline: a member on the given labels, or a student.

Members learn train, with `members.folds` above 1 without one fold. Students learn the new labels of
train; their best epoch is chosen by the old labels of val. An interrupted training resumes from its
last checkpoint with the same command, and ends with the same weights.

    python -m stages.chexnext.train --group members --backbone alexnet --seed 0

Reads data/cache, data/records, data/split, data/pretrained/B, chexnext/data, params.yaml (model,
data.findings, numerics), chexnext/params.yaml (loss, train, members).
Writes chexnext/models/GROUP/B-SEED, chexnext/plots/train/GROUP/B-SEED.csv,
chexnext/metrics/train/GROUP/B-SEED.json.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cxr14.chexnext.paths import LABELS, RELABELLED, ROOT, Group, NetworkPaths, split_of_fold
from cxr14.config.blocks import read_findings, read_model, read_numerics
from cxr14.config.chexnext import read_chexnext_loss, read_members, read_recipe
from stages import CHECKPOINT_SECONDS, Backbone, CheckpointSeconds, check_all_params, run


def tables_of(group: Group, seed: int) -> tuple[Path, Path]:
    """Return the labels and the split that a network is trained with."""
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
    recipe, model, loss = read_recipe(backbone, seed), read_model(), read_chexnext_loss()
    paths = NetworkPaths(group, backbone, seed)
    labels, split = tables_of(group, seed)
    from cxr14.tracking.runs import start_run  # slow imports, after the checks
    from cxr14.training.distributed import run_training
    from cxr14.training.inputs import Tables
    from cxr14.training.train import Job, run_job

    job = Job(
        backbone,
        model,
        loss,
        recipe,
        paths.model,
        name=f"{group}/{paths.name}",
        title=paths.title,
        classes=read_findings(),
        tables=Tables(labels, split),
        results=ROOT,
        numerics=read_numerics(),
    )
    work = partial(run_job, job, partial(start_run, "stages/chexnext/train.py"), checkpoint_seconds)
    arguments = [f"--group={group}", f"--backbone={backbone}", f"--seed={seed}"]
    arguments.append(f"--checkpoint-seconds={checkpoint_seconds}")
    run_training(paths.title, recipe.processes, "stages.chexnext.train", arguments, work)


if __name__ == "__main__":
    run(main, __doc__)
