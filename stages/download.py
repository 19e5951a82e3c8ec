"""Write tables and images of `data.source` to data/raw.

`phantom` renders simulated radiographs for real records, `folder` lists your own images in place,
`csv` too and converts your table by its mapping, `nih` downloads the 45 GB set. Downloads stay in
.scratch/download and are resumed.

Reads:  params.yaml (data)

Writes: data/raw/tables (tables, lists, manifest.csv, issues.csv, source.json), data/raw/archives
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from cxr14.config.blocks import DataParams, read_data
from cxr14.datasets.csv_inputs import check_inputs
from cxr14.datasets.issues import read_issues, summarize
from cxr14.datasets.outputs import check_links
from cxr14.datasets.raw import ARCHIVES, FACTS, LISTS, RAW_ISSUES, TABLES, images_base, read_facts
from cxr14.datasets.source import (
    check_images,
    check_names,
    check_tables,
    write_csv_source,
    write_folder,
    write_nih,
    write_phantoms,
)
from cxr14.errors import UserError, printable
from cxr14.io import project_root, read_json
from stages import check_all_params, run


def main(
    workers: Annotated[
        int, typer.Option(min=0, max=1024, help="Rendering or hashing processes; 0: one per core.")
    ] = 0,
    catalogue: Annotated[
        Path | None,
        typer.Option(help="For `nih`: a JSON list of name, url, bytes, md5 in place of NIH's own."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only check that images and tables are unchanged."),
    ] = False,
) -> None:
    """Write data/raw."""
    params = read_data()
    if check:
        return check_source(params)
    check_all_params()  # before 45 GB are downloaded
    if catalogue is not None and params.source != "nih":
        raise UserError(f"--catalogue is for data.source nih, and it is {params.source}")
    check_links(Path.cwd(), [str(TABLES), str(ARCHIVES)])
    if params.source == "phantom":
        counts = write_phantoms(TABLES, ARCHIVES, params.phantom, workers)
    elif params.source == "folder":
        base = str(params.folder)  # never null here: see cxr14.config.check
        counts = write_folder(TABLES, ARCHIVES, project_root() / base, base)
    elif params.source == "csv":
        counts = write_csv_source(TABLES, ARCHIVES, params, project_root(), workers)
    else:
        downloads = project_root() / ".scratch" / "download"
        counts = write_nih(
            TABLES, ARCHIVES, downloads, params.mirror, params.connections, catalogue
        )
    for line in describe_tables(read_facts()):
        typer.echo(printable(line))
    typer.echo(", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in counts.items()))
    for line in summarize(read_issues(TABLES / RAW_ISSUES), TABLES / RAW_ISSUES):
        typer.echo(line)


def check_source(params: DataParams) -> None:
    """Check that images and tables are unchanged since the last run of the same source."""
    if not (TABLES / FACTS).is_file():
        return
    if "table_files" not in read_json(TABLES / FACTS, "source"):
        return  # the stage failed, so it will run
    facts = read_facts()
    folder = params.folder if params.source in ("folder", "csv") else None
    if (facts["source"], facts["base"]) != (params.source, folder):
        return  # the stage will run
    check_images(TABLES, images_base(folder), facts.get("container_bytes", {}))
    if folder is not None:
        if params.source == "csv":
            check_inputs(params, project_root(), facts)
        else:
            check_tables(images_base(folder), facts)
        check_names(images_base(folder), facts)


def describe_tables(facts: dict[str, Any]) -> list[str]:
    """Return a line with the origin of each table and list, or with its substitute."""
    files: dict[str, str | None] = facts["table_files"]
    phantom = bool(facts["phantom"])
    instead = "the packaged table" if phantom else "not in the source; the packaged one is used"
    lines = [f"{name}: {file or instead}" for name, file in files.items()]
    if LISTS[0] not in files:
        why = "" if phantom else "not in the source; "
        lines.append(f"{', '.join(LISTS)}: {why}patient-split stratifies its own split")
    return lines


if __name__ == "__main__":
    run(main, __doc__)
