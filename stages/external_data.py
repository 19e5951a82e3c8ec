"""Read an external set: its tables, its records, and its images in one array.

    python -m stages.external_data --set chexpert
    python -m stages.external_data --check         # only check that all sets are unchanged

All images are for scoring. They stay where they are; an unusable one stops the run, or is left out
(`preprocess.on_error`). How to use other sets: docs/howto/external.md.

Reads:  params.yaml (external.SET, preprocess), the set's folder and table

Writes: data/external/SET (tables, images.parquet, cache, issues.csv)
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from cxr14.config.blocks import read_preprocess
from cxr14.config.external import ExternalParams, read_external, with_keys_of_set
from cxr14.datasets.external import CACHE, FOLDER, ISSUES, TABLES
from cxr14.datasets.external_source import check_set, naming, write_set
from cxr14.datasets.issues import summarize, unusable_files, write_issues
from cxr14.datasets.outputs import check_links
from cxr14.datasets.raw import images_base, read_facts, read_manifest
from cxr14.errors import UserError
from cxr14.io import project_root
from cxr14.preprocessing.fill import FillResult, choose_engine, fill_cache
from stages import run


def main(
    name: Annotated[str | None, typer.Option("--set", help="Name in external.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check, and write nothing.")] = False,
) -> None:
    """Write data/external/SET."""
    external = read_external()
    if check:
        return check_sets(external)
    if name is None:
        raise UserError("name a set of the block external of params.yaml: --set NAME")
    folder, params = FOLDER / name, external.find(name)
    check_links(Path.cwd(), [str(folder)])
    with naming(name):
        issues = write_set(params, folder, project_root(), read_preprocess().workers)
        filled = fill(folder, issues)
    issues = pd.concat([issues, filled.issues], ignore_index=True)
    issues["detail"] = issues["detail"].map(lambda text: with_keys_of_set(text, name))
    write_issues(folder / ISSUES, issues)
    left_out = f", {filled.counts['skipped']} skipped" if filled.counts["skipped"] else ""
    typer.echo(f"{name}: {filled.counts['images']} images{left_out}")
    for line in summarize(issues, folder / ISSUES):
        typer.echo(line)


def check_sets(external: ExternalParams) -> None:
    """Check that images and tables of all sets are unchanged since they were read."""
    for name, params in external.sets.items():
        with naming(name):
            check_set(params, FOLDER / name, project_root())


def fill(folder: Path, issues: pd.DataFrame) -> FillResult:
    """Shrink the images of a set into its cache."""
    params, facts = read_preprocess(), read_facts(folder / TABLES)
    return fill_cache(
        read_manifest(folder / TABLES),
        images_base(facts["base"]),
        folder / CACHE,
        params.size,
        scratch=project_root() / ".scratch" / "preprocess",
        engine=choose_engine(params.engine, params.workers, params.scheduler),
        on_error=params.on_error,
        unusable=unusable_files(issues),
    )


if __name__ == "__main__":
    run(main, __doc__)
