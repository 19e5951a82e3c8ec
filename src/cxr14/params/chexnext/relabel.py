"""The blocks `select` and `relabel`."""

from typing import Literal

from pydantic import Field

from cxr14.params._read import Block, read_block
from cxr14.params.chexnext import FILE


class SelectParams(Block):
    """Which subset of members is best; up to so many members every subset is tried."""

    measure: Literal["auroc", "f1"]
    exhaustive_up_to: int = Field(ge=1, le=16)


class RelabelParams(Block):
    """`replace` takes the members' answers, `union` keeps the positives that were there."""

    mode: Literal["replace", "union"]


def read_select() -> SelectParams:
    """Read the block `select` of chexnext/params.yaml."""
    return read_block("select", SelectParams, FILE)


def read_relabel() -> RelabelParams:
    """Read the block `relabel` of chexnext/params.yaml."""
    return read_block("relabel", RelabelParams, FILE)
