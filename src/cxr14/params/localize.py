"""The block `localize`: saliency method and the thresholds of the protocol."""

from typing import Annotated, Literal

from pydantic import Field

from cxr14.params._read import BatchSize, Block, read_block

Share = Annotated[float, Field(ge=0, lt=1)]


class LocalizeParams(Block):
    """`heat_thresholds` are of 255, by `scaling`; `t_iobb` and `t_iou` are shares of an area."""

    method: Literal["gradcam", "cam", "gradcam_pp", "layercam"]
    scaling: Literal["per_map", "fixed"]
    heat_thresholds: list[Annotated[int, Field(ge=0, le=254)]] = Field(min_length=1, max_length=255)
    t_iobb: list[Share] = Field(min_length=1, max_length=100)
    t_iou: list[Share] = Field(min_length=1, max_length=100)
    batch_size: BatchSize


def read() -> LocalizeParams:
    """Read the block `localize` of params.yaml."""
    return read_block("localize", LocalizeParams)
