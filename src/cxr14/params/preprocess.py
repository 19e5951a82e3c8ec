"""The block `preprocess`: the image cache."""

from typing import Literal

from pydantic import Field

from cxr14.params._read import Block, read_block


class PreprocessParams(Block):
    """Side of the cached images in pixels; workers and engine never change the bytes."""

    size: int = Field(ge=32, le=1024)
    workers: int = Field(ge=0)
    engine: Literal["local"]


def read() -> PreprocessParams:
    """Read the block `preprocess` of params.yaml."""
    return read_block("preprocess", PreprocessParams)
