"""The block `data`: where images and records come from."""

from typing import Literal

from pydantic import Field

from cxr14.params._read import Block, read_block
from cxr14.params.findings import Findings


class PhantomParams(Block):
    """How many phantoms to draw, and how."""

    images: int = Field(gt=0)
    contrast: float = Field(ge=0)
    seed: int = Field(ge=0)


class DataParams(Block):
    """Source of the images; `folder`, and `mirror` and `connections`, serve one source each.

    `findings` is checked here and read by training (cxr14.params.findings), `boxes` is the unit of
    the box list (cxr14.data.tables.box_units) and read by patient-split.
    """

    source: Literal["phantom", "folder", "nih"]
    folder: str | None
    mirror: str | None
    connections: int = Field(ge=1, le=16)
    boxes: Literal["auto", "nih", "image", "original", "fraction"]
    findings: Findings
    phantom: PhantomParams


def read() -> DataParams:
    """Read the block `data` of params.yaml."""
    return read_block("data", DataParams)
