"""The block `loss`: what training minimises."""

from typing import Literal

from pydantic import Field

from cxr14.params._read import Block, read_block


class LossParams(Block):
    """Loss and weighting; see cxr14.training.losses for formulas and scales."""

    name: Literal["cross_entropy", "hinge", "euclidean", "focal", "asymmetric"]
    weighting: Literal["batch", "class", "none"]
    smoothing: float = Field(ge=0, lt=1)


def read() -> LossParams:
    """Read the block `loss` of params.yaml."""
    return read_block("loss", LossParams)
