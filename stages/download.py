"""Bring tables and images to data/raw, from the source that `data.source` names.

`phantom` draws simulated radiographs for real records, `folder` describes a directory of images
that you already have (nothing is copied), `nih` downloads the 45 GB set. What was downloaded stays
in .scratch/download, complete or not, and is not fetched again.

Reads:  params.yaml (data)

Writes: data/raw/tables (tables, lists, manifest.csv, oddities.csv, source.json), data/raw/images
(archives)
"""

from pathlib import Path
from typing import Annotated

import typer

from cxr14.data.raw import IMAGES, TABLES, images_base, read_facts
from cxr14.data.sources import check_images, write_folder, write_nih, write_phantoms
from cxr14.errors import UserError
from cxr14.files import project_root
from cxr14.params import data
from stages import check_all_params, run


def main(
    workers: Annotated[
        int, typer.Option(min=0, max=1024, help="Drawing processes; 0: one per core.")
    ] = 0,
    catalogue: Annotated[
        Path | None,
        typer.Option(help="For `nih`: a JSON list of name, url, bytes, md5 in place of NIH's own."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only look whether all listed images are still there.")
    ] = False,
) -> None:
    """Fill data/raw."""
    params = data.read()
    if check:
        return check_images(TABLES, images_base(read_facts()["base"]))
    check_all_params()  # before 45 GB: a wrong key of a later stage too
    if catalogue is not None and params.source != "nih":
        raise UserError(f"--catalogue is for data.source nih, and it is {params.source}")
    if params.source == "phantom":
        phantom = params.phantom
        counts = write_phantoms(
            TABLES, IMAGES, phantom.images, phantom.contrast, phantom.seed, workers
        )
    elif params.source == "folder":
        if params.folder is None:
            raise UserError("data.source is folder, but data.folder names none; set data.folder")
        counts = write_folder(TABLES, IMAGES, project_root() / params.folder, params.folder)
    else:
        downloads = project_root() / ".scratch" / "download"
        counts = write_nih(TABLES, IMAGES, downloads, params.mirror, params.connections, catalogue)
    own = read_facts()["own_tables"]
    typer.echo(f"tables and lists of its own: {', '.join(own) or 'none; the packaged tables'}")
    typer.echo(", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in counts.items()))


if __name__ == "__main__":
    run(main, __doc__)
