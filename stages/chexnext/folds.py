"""Cut the patients of train into folds; the members of a fold are trained without it.

With `members.folds: 1`, as in the paper, the split is that of the first pipeline.

    python -m stages.chexnext.folds

Reads data/split, chexnext/data/labels.parquet, chexnext/params.yaml (members).
Writes chexnext/data/folds/F.parquet: the split in which fold F is left out.
"""

import pandas as pd
import typer

from cxr14.chexnext.folds import NO_FOLD, cut_folds, split_without
from cxr14.chexnext.paths import LABELS, split_of_fold
from cxr14.config.chexnext import read_members
from cxr14.datasets.records import read_records, read_split
from cxr14.datasets.split import unscorable
from cxr14.io import write_parquet
from stages import run


def main() -> None:
    """Run the stage."""
    params = read_members()
    split = read_split()
    images = read_records(LABELS)
    if params.folds == 1:
        write_parquet(split_of_fold(0), split)
        typer.echo("plain form: every member trains on all of train, and relabels all of it")
        return
    folds = cut_folds(images, split["split"].to_numpy(str), params.folds, params.folds_seed)
    for fold in range(params.folds):
        fold_split = split_without(split, folds, fold)
        write_parquet(split_of_fold(fold), fold_split)
        if problem := unscorable(images, fold_split["split"]):
            typer.secho(f"warning: without fold {fold} {problem}", fg="yellow", err=True)
    visible = images["has_pixels"].to_numpy() & (folds != NO_FOLD)
    sizes = pd.Series(folds[visible]).value_counts().sort_index()
    summary = ", ".join(f"{fold}: {count}" for fold, count in sizes.items())
    typer.echo(f"images of train with pixels by fold, {summary}; no patient is in two")


if __name__ == "__main__":
    run(main, __doc__)
