"""The block `model`: starting weights and the head put on a backbone."""

from typing import Literal

from pydantic import Field

from cxr14.params._read import Block, Text, read_block


class ModelParams(Block):
    """`weights`: none, imagenet, or the path of a safetensors file."""

    weights: Text
    transition_channels: int = Field(gt=0, le=16_384)
    pooling: Literal["avg", "max", "lse"]
    lse_r: float = Field(gt=0, le=1e6)
    output_stride: Literal[32, 16]


def read() -> ModelParams:
    """Read the block `model` of params.yaml."""
    return read_block("model", ModelParams)
