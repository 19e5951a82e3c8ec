"""Resize every image to `preprocess.size` and write all of them into one array.

Unusual files (RGBA, palettes, 16 bits, JPEG, not square, …) are converted and counted. An unusable
or changed image, or file of the listing, stops the run after all others were processed, or is left
out (`preprocess.on_error`). An interrupted run is resumed from .scratch/preprocess.

Reads:  data/raw, data/table_issues.csv, params.yaml (preprocess)

Writes: data/cache (images.npy uint8 (N, S, S), index.parquet), data/issues.csv (all data
issues of this stage and those before), metrics/preprocess.json
"""

from pathlib import Path

import pandas as pd
import typer

from cxr14.config.blocks import read_preprocess
from cxr14.datasets.issues import (
    ISSUES,
    LISTING_ISSUES,
    TABLE_ISSUES,
    read_issues,
    summarize,
    unusable_files,
    write_issues,
)
from cxr14.datasets.raw import images_base, read_facts, read_manifest
from cxr14.io import project_root, write_metrics
from cxr14.preprocessing.fill import choose_engine, fill_cache
from stages import run


def main() -> None:
    """Write the cache and the table of issues."""
    params = read_preprocess()
    facts = read_facts()
    manifest = read_manifest()
    earlier = [read_issues(LISTING_ISSUES), read_issues(TABLE_ISSUES)]
    unusable = [line for issues in earlier for line in unusable_files(issues)]
    if unusable and params.on_error == "fail":
        typer.echo(
            f"{len(unusable)} files cannot be used (see {LISTING_ISSUES}); the run will stop at "
            f"its end, as preprocess.on_error is fail"
        )
    filled = fill_cache(
        manifest,
        images_base(facts["base"]),
        Path("data/cache"),
        params.size,
        scratch=project_root() / ".scratch" / "preprocess",
        engine=choose_engine(params.engine, params.workers, params.scheduler),
        on_error=params.on_error,
        unusable=unusable,
    )
    issues = pd.concat([*earlier, filled.issues], ignore_index=True)
    write_issues(ISSUES, issues)
    counts = filled.counts | {"skipped_files": len(unusable)}
    write_metrics("metrics/preprocess.json", {**counts, "phantom": int(facts["phantom"])})
    listed = {name: n for name, n in counts.items() if n or name == "skipped"}
    typer.echo(", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in listed.items()))
    for line in summarize(issues, ISSUES):
        typer.echo(line)


if __name__ == "__main__":
    run(main, __doc__)
