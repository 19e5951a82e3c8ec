"""The block `data`: where images and records come from."""

from typing import Literal

from pydantic import Field

from cxr14.params._read import Block, read_block


class PhantomParams(Block):
    """How many phantoms to draw, and how."""

    images: int = Field(gt=0)
    contrast: float = Field(ge=0)
    seed: int = Field(ge=0)


class DataParams(Block):
    """Source of the images; `folder` is read only by the folder source."""

    source: Literal["phantom", "folder", "nih"]
    folder: str | None
    phantom: PhantomParams


def read() -> DataParams:
    """Read the block `data` of params.yaml."""
    return read_block("data", DataParams)
