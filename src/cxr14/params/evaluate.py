"""The block `evaluate`."""

from pydantic import Field

from cxr14.params._read import Block, read_block


class EvaluateParams(Block):
    """Batch size of the forward passes (images)."""

    batch_size: int = Field(gt=0)


def read() -> EvaluateParams:
    """Read the block `evaluate` of params.yaml."""
    return read_block("evaluate", EvaluateParams)
