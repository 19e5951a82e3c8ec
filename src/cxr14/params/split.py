"""The block `split`: who is in train, val and test."""

from typing import Literal

from pydantic import Field

from cxr14.params._read import Block, Seed, read_block


class SplitParams(Block):
    """Official lists or our own cut, and the fractions of the parts that we cut."""

    official: Literal["auto", True, False]
    test_fraction: float = Field(gt=0, lt=1)
    val_fraction: float = Field(gt=0, lt=1)
    seed: Seed


def read() -> SplitParams:
    """Read the block `split` of params.yaml."""
    return read_block("split", SplitParams)
