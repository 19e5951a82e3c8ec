"""Sizes of image files by their headers, for boxes whose unit depends on them."""

import io
import warnings
from pathlib import Path

import pandas as pd
from PIL import Image

from cxr14.data.archives.reading import read_members
from cxr14.data.orientation import FORMATS, TURNED, orientation


def file_sizes(manifest: pd.DataFrame, base: Path, images: list[str]) -> pd.DataFrame:
    """Return width and height in pixels, as displayed, of those images that have a readable file.

    Args:
        manifest: of the files (image, container, member).
        base: folder of the containers.
        images: names; each archive that holds one is read as far as the last of them.

    Returns:
        width and height, indexed by image.

    Raises:
        FileNotFoundError: a listed file is gone.
        UserError: an archive is broken.
    """
    wanted = manifest[manifest.image.isin(images)]
    found: dict[str, tuple[int, int]] = {}
    for container, rows in wanted.groupby("container"):
        names = dict(zip(rows.member, rows.image, strict=True))
        for member, content in read_members(base, str(container), list(names)):
            size = _size(content)
            if size:
                found[names[member]] = size
    return pd.DataFrame.from_dict(
        found, orient="index", columns=["width", "height"], dtype="float64"
    )


def _size(content: bytes) -> tuple[int, int] | None:
    """Return the size that an image's header gives; None if it has none (preprocess names it)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken metadata, and of many pixels
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    with image:
        width, height = image.size
        turned = orientation(image) in TURNED
    return (height, width) if turned else (width, height)
