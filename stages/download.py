"""Bring tables and images to data/raw, from the source that `data.source` names.

`phantom` draws simulated radiographs for real records, `folder` describes a directory of images
that you already have (nothing is copied), `nih` is the 42 GB set itself.

Reads:  params.yaml (data)

Writes: data/raw/tables (tables, lists, manifest.csv, source.json), data/raw/images (archives)
"""

from typing import Annotated

import typer

from cxr14.data.raw import IMAGES, TABLES
from cxr14.data.sources import write_folder, write_phantoms
from cxr14.files import project_root
from cxr14.params import data
from stages import run


def main(
    workers: Annotated[int, typer.Option(help="Drawing processes; 0: one per core.")] = 0,
) -> None:
    """Fill data/raw."""
    params = data.read()
    if params.source == "phantom":
        phantom = params.phantom
        counts = write_phantoms(
            TABLES, IMAGES, phantom.images, phantom.contrast, phantom.seed, workers
        )
    elif params.source == "folder":
        if params.folder is None:
            raise ValueError("data.source is folder, but data.folder names none; set data.folder")
        counts = write_folder(TABLES, IMAGES, project_root() / params.folder, params.folder)
    else:
        raise ValueError(
            "data.source: nih cannot be downloaded yet; fetch the archives of "
            "https://nihcc.app.box.com/v/ChestXray-NIHCC yourself and set data.source=folder and "
            "data.folder to their directory, or use data.source=phantom"
        )
    typer.echo(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in counts.items()))


if __name__ == "__main__":
    run(main, __doc__)
