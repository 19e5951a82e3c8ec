"""The source `folder`: images that a user already has, in NIH's or in Kaggle's layout.

Nothing is copied. A manifest with a hash of every image stands for them, and preprocessing
checks each image against it.
"""

from pathlib import Path

import pandas as pd
from rich.progress import track

from cxr14.data.archives import (
    MANIFEST_COLUMNS,
    check_manifest,
    describe,
    find_containers,
    iterate_container,
)

LAYOUTS = "images/*.png, images_001/images/*.png, images_001.tar.gz or *.png"


def read_manifest(folder: Path) -> pd.DataFrame:
    """List and hash every image of the folder, sorted by image.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image in a known layout, or one image twice.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"data.folder: {folder} is not a folder")
    containers = find_containers(folder)
    if not containers:
        raise ValueError(f"data.folder: {folder} holds none of {LAYOUTS}")
    rows = [
        describe(container, member, content)
        for container in containers
        for member, content in track(
            iterate_container(folder, container), description=f"hash {container or folder.name}"
        )
    ]
    manifest = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))
    check_manifest(manifest)
    return manifest.sort_values("image", ignore_index=True)
