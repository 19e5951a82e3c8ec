"""The block `data`: where images and records come from."""

from typing import Literal

from pydantic import Field

from cxr14.params._read import Block, Seed, Text, read_block
from cxr14.params.findings import Findings


class PhantomParams(Block):
    """How many phantoms to draw, at most one for each row of NIH's table, and how."""

    images: int = Field(gt=0, le=112_120)
    contrast: float = Field(ge=0, le=100)
    seed: Seed


class DataParams(Block):
    """Source of the images; `folder`, and `mirror` and `connections`, serve one source each.

    `findings` is checked here and read by training (cxr14.params.findings), `boxes` is the unit of
    the box list (cxr14.data.tables.box_units) and read by patient-split.
    """

    source: Literal["phantom", "folder", "nih"]
    folder: Text | None
    mirror: Text | None
    connections: int = Field(ge=1, le=16)
    boxes: Literal["auto", "nih", "image", "original", "fraction"]
    findings: Findings
    phantom: PhantomParams


def read() -> DataParams:
    """Read the block `data` of params.yaml."""
    return read_block("data", DataParams)
