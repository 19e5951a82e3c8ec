"""The block `split`: who is in train, val and test."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from cxr14.errors import UserError
from cxr14.params._read import Block, Seed, read_block


def _checked(value: Any) -> Any:
    """Refuse what is not a truth value, such as `no`, which YAML 1.2 reads as text."""
    if value == "auto" or isinstance(value, bool):
        return value
    raise UserError("allowed: auto, true or false")


class SplitParams(Block):
    """Official lists or our own cut, and the fractions of the parts that we cut."""

    official: Annotated[Literal["auto"] | bool, BeforeValidator(_checked)]
    test_fraction: float = Field(gt=0, lt=1)
    val_fraction: float = Field(gt=0, lt=1)
    seed: Seed


def read() -> SplitParams:
    """Read the block `split` of params.yaml."""
    return read_block("split", SplitParams)
