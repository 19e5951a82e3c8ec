"""The block `evaluate`."""

from cxr14.params._read import BatchSize, Block, read_block


class EvaluateParams(Block):
    """Batch size of the forward passes (images)."""

    batch_size: BatchSize


def read() -> EvaluateParams:
    """Read the block `evaluate` of params.yaml."""
    return read_block("evaluate", EvaluateParams)
