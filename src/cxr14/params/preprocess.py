"""The block `preprocess`: the image cache."""

from typing import Literal

from pydantic import Field, model_validator

from cxr14.errors import UserError
from cxr14.params._read import Block, Text, read_block


class PreprocessParams(Block):
    """Side of the cached images in pixels, and what an image that cannot be used does.

    Workers, engine and scheduler never change the bytes.
    """

    size: int = Field(ge=32, le=1024)
    on_error: Literal["fail", "skip"]
    workers: int = Field(ge=0, le=1024)
    engine: Literal["local", "dask"]
    scheduler: Text | None

    @model_validator(mode="after")
    def _engine_has_its_scheduler(self) -> "PreprocessParams":
        if (self.engine == "dask") != (self.scheduler is not None):
            raise UserError("scheduler is the address of engine dask (tcp://…), null for local")
        return self


def read() -> PreprocessParams:
    """Read the block `preprocess` of params.yaml."""
    return read_block("preprocess", PreprocessParams)
